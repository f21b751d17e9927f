"""Each phrase in English and in Chinese. What stands in braces is filled in."""

METRICS: dict[str, tuple[str, str]] = {
    "accuracy": ("accuracy", "准确率"),
    "macro_f1": ("macro-F1", "宏平均 F1"),
    "micro_f1": ("micro-F1", "微平均 F1"),
    "samples_f1": ("F1 per text", "逐条 F1"),
    "subset_accuracy": ("all labels right", "标签全对率"),
    "balanced_accuracy": ("balanced accuracy", "平衡准确率"),
    "mcc": ("Matthews correlation", "马修斯相关系数"),
    "log_loss": ("log loss", "对数损失"),
    "top_3": ("among the first three", "前三命中率"),
    "roc_auc": ("ROC AUC", "ROC AUC"),
    "average_precision": ("average precision", "平均精度"),
    "mae": ("mean error", "平均误差"),
    "rmse": ("root of mean squared error", "均方根误差"),
    "r2": ("R²", "R²"),
    "pearson": ("correlation (Pearson)", "相关系数（Pearson）"),
    "spearman": ("correlation of ranks (Spearman)", "秩相关（Spearman）"),
    "quadratic_kappa": ("quadratic weighted kappa", "二次加权 kappa"),
    "within_one": ("within one grade", "相差不超过一级"),
    "f1": ("F1", "F1"),
    "precision": ("precision", "精确率"),
    "recall": ("recall", "召回率"),
    "exact_match": ("exact match", "完全匹配"),
    "mrr": ("mean reciprocal rank", "平均倒数排名"),
    "recall_1": ("found in first place", "首位命中率"),
    "recall_5": ("found among the first 5", "前 5 命中率"),
    "recall_10": ("found among the first 10", "前 10 命中率"),
    "ndcg_10": ("nDCG at 10", "nDCG@10"),
}

SENTENCES: dict[str, tuple[str, str]] = {
    # Of verdicts.
    "points": ("{value} points", "{value} 个百分点"),
    "separator": ("; ", "；"),
    "more": ("; and {count} more", "；另有 {count} 处"),
    "undefined": ("{metric} is not defined on these rows", "这些数据上无法计算{metric}"),
    "no_incumbent": ("there is no version to be worse than", "没有可比较的现有版本"),
    "gain_kept": (
        "{metric} is {candidate}, of the serving version {incumbent}: with {confidence} certainty the difference is at "
        "least {low}, and {least} is asked",
        "{metric}为 {candidate}，现有版本为 {incumbent}：在 {confidence} 的置信度下差异不小于 {low}，"
        "要求不小于 {least}",
    ),
    "gain_broken": (
        "{metric} is {candidate}, of the serving version {incumbent}: with {confidence} certainty the difference is "
        "only known to be at least {low}, and {least} is asked",
        "{metric}为 {candidate}，现有版本为 {incumbent}：在 {confidence} 的置信度下只能确定差异不小于 {low}，"
        "但要求不小于 {least}",
    ),
    "floor_kept": ("{metric} is {value}, the limit is {floor}", "{metric}为 {value}，限值为 {floor}"),
    "floor_broken": (
        "{metric} is {value}, which misses the limit of {floor}",
        "{metric}为 {value}，未达到限值 {floor}",
    ),
    "slices_kept": (
        "{metric} keeps the limit of {floor} on all {count} slices that have enough rows",
        "在全部 {count} 个数据量足够的分组上，{metric}都达到限值 {floor}",
    ),
    "slices_broken": ("{metric} misses the limit of {floor} where {named}", "{metric}未达到限值 {floor}：{named}"),
    "slice_below": ("{slice} is {value} ({found} on {rows} rows)", "{slice} = {value}（{rows} 条数据上为 {found}）"),
    "falls_kept": (
        "none of the {count} parts with {support} rows or more is worse by more than is allowed",
        "{count} 个不少于 {support} 条数据的部分，均未超出允许的下降幅度",
    ),
    "falls_broken": ("worse by more than is allowed: {named}", "下降超出允许范围：{named}"),
    "fall": (
        "where {slice} is {value}, {metric} changes by {by}, from {incumbent} to {candidate}, on {rows} rows",
        "{slice} = {value} 时，{metric}变化 {by}，由 {incumbent} 变为 {candidate}（{rows} 条数据）",
    ),
    "class_fall": (
        "of {value}, {metric} changes by {by}, from {incumbent} to {candidate}, on {rows} rows",
        "类别 {value} 的{metric}变化 {by}，由 {incumbent} 变为 {candidate}（{rows} 条数据）",
    ),
    "no_probabilities": ("the task has no probabilities to judge", "该任务没有可评估的概率"),
    "calibration_kept": (
        "probabilities are off by {value} on average, the limit is {limit}",
        "概率平均偏差为 {value}，限值为 {limit}",
    ),
    "calibration_broken": (
        "probabilities are off by {value} on average, which is over the limit of {limit}",
        "概率平均偏差为 {value}，超过限值 {limit}",
    ),
    "no_latency": ("how fast it answers was not measured", "未测量响应速度"),
    "latency_kept": (
        "99 of 100 answers take at most {value} ms, the limit is {limit} ms",
        "99% 的响应不超过 {value} 毫秒，限值为 {limit} 毫秒",
    ),
    "latency_broken": (
        "99 of 100 answers take up to {value} ms, which is over the limit of {limit} ms",
        "99% 的响应需要 {value} 毫秒，超过限值 {limit} 毫秒",
    ),
}
