"""What reports and pictures say, in English and in Chinese. What stands in braces is filled in."""

REPORTS: dict[str, tuple[str, str]] = {
    "title": ("Evaluation of {name}", "{name} 评估报告"),
    "a_version": ("a version", "模型版本"),
    "version": ("version {version}", "版本 {version}"),
    "on_rows": (
        "Judged on {rows} texts that it was not trained on.",
        "在 {rows} 条未参与训练的文本上评估。",
    ),
    "in_groups": ("They belong to {groups} groups, which count as wholes.", "它们属于 {groups} 个组，按组整体计算。"),
    "may": ("May take over", "可以上线"),
    "may_not": ("Must not take over", "不可上线"),
    "no_rows": ("There were no rows to judge it on.", "没有可用于评估的数据。"),
    "nothing_known": ("There were too few rows to say how good it is.", "数据过少，无法判断其质量。"),
    # In short.
    "in_short": ("In short", "概要"),
    "right_of_100": (
        "Of 100 texts, about {value} get the right answer; with {confidence} certainty between {low} and {high}.",
        "每 100 条文本中，约 {value} 条得到正确答案；在 {confidence} 的置信度下介于 {low} 与 {high} 之间。",
    ),
    "all_labels_of_100": (
        "Of 100 texts, about {value} get exactly the right labels; with {confidence} certainty between {low} and "
        "{high}.",
        "每 100 条文本中，约 {value} 条的标签完全正确；在 {confidence} 的置信度下介于 {low} 与 {high} 之间。",
    ),
    "off_by": (
        "Its number is off by {value} on average; with {confidence} certainty between {low} and {high}.",
        "预测值平均偏差 {value}；在 {confidence} 的置信度下介于 {low} 与 {high} 之间。",
    ),
    "within_one_of_100": (
        "Of 100 texts, about {value} are at most one grade off; with {confidence} certainty between {low} and {high}.",
        "每 100 条文本中，约 {value} 条的等级相差不超过一级；在 {confidence} 的置信度下介于 {low} 与 {high} 之间。",
    ),
    "found_of_100": (
        "Of 100 names in the texts, about {value} are found; with {confidence} certainty between {low} and {high}.",
        "文本中每 100 个实体，约能找到 {value} 个；在 {confidence} 的置信度下介于 {low} 与 {high} 之间。",
    ),
    "true_of_100": (
        "Of 100 names that it reports, about {value} are right; with {confidence} certainty between {low} and {high}.",
        "它给出的每 100 个实体中，约 {value} 个正确；在 {confidence} 的置信度下介于 {low} 与 {high} 之间。",
    ),
    "answers_of_100": (
        "Of 100 questions, about {value} get exactly the right answer; with {confidence} certainty between {low} and "
        "{high}.",
        "每 100 个问题中，约 {value} 个得到完全正确的答案；在 {confidence} 的置信度下介于 {low} 与 {high} 之间。",
    ),
    "searched_of_100": (
        "Of 100 texts that should be found, about {value} are among the first ten; with {confidence} certainty between "
        "{low} and {high}.",
        "每 100 条应被检索到的文本中，约 {value} 条排在前十；在 {confidence} 的置信度下介于 {low} 与 {high} 之间。",
    ),
    "agrees": (
        "Its order of how similar texts are agrees with the true one by {value}, where 1 is perfect; with {confidence} "
        "certainty between {low} and {high}.",
        "它对文本相似度的排序与真实排序的一致程度为 {value}（1 为完全一致）；"
        "在 {confidence} 的置信度下介于 {low} 与 {high} 之间。",
    ),
    "always": (
        "Always answering “{label}”, the most frequent class, would be right for {value}.",
        "若总是回答最常见的类别“{label}”，则约 {value} 条正确。",
    ),
    "metric": ("Metric", "指标"),
    "value": ("Value", "数值"),
    "between": ("{confidence} certain between", "{confidence} 置信区间"),
    "range": ("{low} to {high}", "{low} 至 {high}"),
    # Compared.
    "compared": ("Compared with the version that serves now", "与当前线上版本的比较"),
    "compared_on": (
        "On the same {rows} texts: {metric} is {candidate}, of the serving version {incumbent}.",
        "在相同的 {rows} 条文本上：{metric}为 {candidate}，线上版本为 {incumbent}。",
    ),
    "is_better": ("It is better, and hardly by chance.", "新版本更好，且基本可排除偶然。"),
    "is_worse": ("It is worse, and hardly by chance.", "新版本更差，且基本可排除偶然。"),
    "is_like": (
        "Whether it is better or worse cannot be said from so few texts.",
        "以现有数据量无法判断孰优孰劣。",
    ),
    "mcnemar": (
        "{one} texts only this version gets right, {other} only the serving one; so uneven a split would come by "
        "chance with a probability of {p}.",
        "仅新版本答对的有 {one} 条，仅线上版本答对的有 {other} 条；纯属偶然出现如此差异的概率为 {p}。",
    ),
    "left_out": (
        "{one} texts were left out that only this version was judged on, and {other} of only the serving one.",
        "仅评估过新版本的 {one} 条、仅评估过线上版本的 {other} 条未参与比较。",
    ),
    "this_version": ("This version", "新版本"),
    "serving": ("Serving", "线上版本"),
    "gain": ("Gain", "提升"),
    "rules": ("Rules for taking over", "上线规则"),
    "kept": ("kept", "通过"),
    "broken": ("broken", "未通过"),
    "gains_by_class": ("Gain of {metric} by class", "各类别{metric}的提升"),
    "gains_by_class_least": (
        "Gain of {metric} by class, the least {count} of {all}",
        "各类别{metric}的提升（最低的 {count} 个，共 {all} 个）",
    ),
    # Where it is weak.
    "weak": ("Where it is weak", "薄弱之处"),
    "worst": (
        "It is weakest where {slice} is {value}: {metric} is {found} there ({rows} texts), and {overall} overall.",
        "{slice} = {value} 时最弱：{metric}为 {found}（{rows} 条文本），整体为 {overall}。",
    ),
    "worst_next": (
        "Then where {slice} is {value}: {metric} is {found} there ({rows} texts).",
        "其次是 {slice} = {value}：{metric}为 {found}（{rows} 条文本）。",
    ),
    "no_slices": ("Nothing is known of the texts by which they could be told apart.", "没有可用于分组的属性。"),
    "slice": ("Part of the texts", "分组"),
    "texts": ("Texts", "条数"),
    "classes": ("Classes", "各类别"),
    "classes_weakest": ("Classes, the weakest {count} of {all}", "表现最差的 {count} 个类别（共 {all} 个）"),
    "class": ("Class", "类别"),
    "support": ("True", "真实数"),
    "said": ("Said", "预测数"),
    "precision": ("Precision", "精确率"),
    "recall": ("Recall", "召回率"),
    "f1": ("F1", "F1"),
    "average_precision": ("Average precision", "平均精度"),
    "best_threshold": ("Best threshold", "最佳阈值"),
    "classes_help": (
        "Precision: how often it is right when it says this class. Recall: how many of this class it finds.",
        "精确率：预测为该类别时的正确比例。召回率：该类别中被找出的比例。",
    ),
    # Confusions.
    "confusions": ("What is taken for what", "易混淆的类别"),
    "confused": (
        "Most often “{truth}” is taken for “{predicted}”: {rows} times.",
        "最常见的错误是把“{truth}”判为“{predicted}”：共 {rows} 次。",
    ),
    "no_confusions": ("No class was taken for another.", "没有类别被混淆。"),
    "matrix_alt": (
        "Heat map of {count} classes: lines are the true classes, columns what was said.",
        "{count} 个类别的热力图：行为真实类别，列为预测类别。",
    ),
    "pairs_alt": (
        "Bars of the {count} pairs of classes that are confused most.",
        "最易混淆的 {count} 对类别的条形图。",
    ),
    "true_class": ("true", "真实"),
    "said_class": ("said", "预测"),
    # Probabilities.
    "probabilities": ("Can its probabilities be trusted?", "它给出的概率可信吗？"),
    "trusted": (
        "Yes: they are off by {value} points on average. When it says 90%, about 9 of 10 are right.",
        "可信：平均偏差 {value} 个百分点。当它给出 90% 时，约十次有九次正确。",
    ),
    "trusted_so_far": (
        "As far as {rows} texts can tell: they are off by {value} points on average, and so might honest ones be by "
        "chance.",
        "就 {rows} 条文本而言尚可信：平均偏差 {value} 个百分点，如实的概率也可能因偶然出现这样的偏差。",
    ),
    "no_temperature": (
        "No temperature makes them better: the best one leaves them off by {value}.",
        "调整温度无济于事：最佳温度下仍偏差 {value} 个百分点。",
    ),
    "too_sure": (
        "Not as they are: it is too sure, by {value} points on average.",
        "尚不可信：它过于自信，平均高出 {value} 个百分点。",
    ),
    "too_timid": (
        "Not as they are: it is right more often than it says, by {value} points on average.",
        "尚不可信：实际正确率高于它给出的概率，平均相差 {value} 个百分点。",
    ),
    "bent": ("Not as they are: they are off by {value} points on average.", "尚不可信：平均偏差 {value} 个百分点。"),
    "after": (
        "Divided by a temperature of {temperature}, they would be off by {value}, measured on texts that it was not "
        "fitted on.",
        "除以温度 {temperature} 后，偏差为 {value} 个百分点（在未用于拟合的文本上测得）。",
    ),
    "reliability_alt": (
        "How often it is right against the probability that it says. Before: {before} points off; after a temperature: "
        "{after}. On the dashed line both are the same.",
        "实际正确率与所给概率的对比。校准前平均偏差 {before} 个百分点，校准后 {after}。虚线表示两者一致。",
    ),
    "before_label": ("as it is", "校准前"),
    "after_label": ("after a temperature", "校准后"),
    "x_probability": ("probability that it says", "给出的概率"),
    "y_right": ("how often it is right", "实际正确比例"),
    "y_holds": ("how often the label holds", "标签成立的比例"),
    "curves": ("Precision at every recall", "精确率与召回率曲线"),
    "curves_alt": ("Precision against recall of {labels}.", "{labels} 的精确率与召回率曲线。"),
    "scatter": ("Said and true", "预测值与真实值"),
    "scatter_alt": (
        "{count} texts by their true number and the one that was said; on the dashed line both are the same.",
        "{count} 条文本的真实值与预测值，虚线表示两者一致。",
    ),
    "x_true": ("true number", "真实值"),
    "y_said": ("number that it says", "预测值"),
    "slices_alt": (
        "{metric} of {count} parts of the texts, with intervals; the dashed line is {overall}, that of all.",
        "{count} 个分组的{metric}及其区间；虚线为整体值 {overall}。",
    ),
    "gains_alt": (
        "Gain of {metric} over the serving version on {count} parts of the texts, with intervals; left of the line it "
        "is worse.",
        "{count} 个分组上{metric}相对线上版本的提升及其区间；线左侧表示变差。",
    ),
    "gains_by_part": ("Gain by part of the texts", "各分组的提升"),
    # Decisions.
    "decisions": ("Deciding by what errors cost", "按错误代价决策"),
    "decided": (
        "Deciding by costs, a text costs {cost} on average; its probabilities promise {expected}.",
        "按代价决策时，平均每条文本的代价为 {cost}；按其概率的预期为 {expected}。",
    ),
    "by_likeliest": (
        "Taking the likeliest class, it costs {cost}.",
        "若总取最可能的类别，平均代价为 {cost}。",
    ),
    "by_always": (
        "Always deciding “{decision}”, the cheapest single one, costs {cost}.",
        "若始终决定“{decision}”（代价最低的单一决策），平均代价为 {cost}。",
    ),
    "decision": ("Decision", "决策"),
    # Hardest rows.
    "hardest": ("The hardest texts", "最难的文本"),
    "hardest_help": (
        "Wrong ones of which it was surest come first: often it is their labels that are wrong.",
        "最先列出它最有把握却答错的文本：往往是标注本身有误。",
    ),
    "row": ("Row", "行号"),
    "text": ("Text", "文本"),
    "truth": ("True", "真实"),
    "predicted": ("Said", "预测"),
    "sure": ("Probability", "概率"),
    "nothing": ("none", "无"),
    # Speed and origin.
    "speed": ("How fast it answers", "响应速度"),
    "speed_says": (
        "Half of the answers take at most {median} ms, 99 of 100 at most {p99} ms.",
        "一半的响应不超过 {median} 毫秒，99% 不超过 {p99} 毫秒。",
    ),
    "speed_rows": ("It answers {rows} texts a second.", "每秒可处理 {rows} 条文本。"),
    "speed_tokens": ("Measured with texts of {tokens} tokens.", "使用长度为 {tokens} 个 token 的文本测得。"),
    "origin": ("Where it came from", "来源"),
    "origin_model": ("Model", "模型"),
    "origin_version": ("Version", "版本"),
    "origin_base": ("Base model", "基础模型"),
    "origin_method": ("Method", "训练方法"),
    "origin_training_dataset": ("Trained on", "训练数据"),
    "origin_evaluation_dataset": ("Judged on", "评估数据"),
    "origin_seed": ("Seed", "随机种子"),
    "origin_code_version": ("Code version", "代码版本"),
    "origin_time": ("Judged at", "评估时间"),
    "reading": ("How to read this", "如何阅读本报告"),
    "reading_says": (
        "Another {rows} texts of the same kind would give somewhat other numbers. The intervals say how far: they come "
        "from drawing the texts again {replicates} times, by seed {seed}. Where two intervals overlap much, a "
        "difference may be chance. For texts of another kind they say nothing.",
        "换用另外 {rows} 条同类文本，数值会略有不同；区间表示可能的范围："
        "由按种子 {seed} 对文本重复抽样 {replicates} 次得到。"
        "若两个区间大幅重叠，差异可能只是偶然。对其他类型的文本，区间不作保证。",
    ),
}
