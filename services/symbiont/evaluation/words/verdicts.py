"""What rules say of a candidate, in English and in Chinese. What stands in braces is filled in."""

VERDICTS: dict[str, tuple[str, str]] = {
    "points": ("{value} points", "{value} 个百分点"),
    "length": ("length in tokens", "长度（token 数）"),
    "sure_end": ("with {confidence} certainty, {metric}", "在 {confidence} 的置信度下，{metric}"),
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
    "unknown_slices": (
        "the held-out rows do not differ by {names}; slices that they have: {known}",
        "评估数据没有可按 {names} 区分的分组；现有分组：{known}",
    ),
    "no_classes": ("the task has no classes to judge one by one", "该任务没有可逐一评估的类别"),
    "no_probabilities": ("the task has no probabilities to judge", "该任务没有可评估的概率"),
    "calibration_kept": (
        "probabilities are off by {value} points on average, the limit is {limit}",
        "概率平均偏差为 {value} 个百分点，限值为 {limit}",
    ),
    "calibration_broken": (
        "probabilities are off by {value} points on average, which is over the limit of {limit}",
        "概率平均偏差为 {value} 个百分点，超过限值 {limit}",
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
