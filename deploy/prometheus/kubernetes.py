"""Writes the rules of this folder as the Prometheus operator takes them, in `k8s/components/monitoring`."""

from pathlib import Path

import yaml

HERE = Path(__file__).parent
RULES = HERE / "rules"
RESOURCE = HERE.parents[1] / "k8s/components/monitoring/prometheusrule.yaml"
HEAD = "# Written by deploy/prometheus/kubernetes.py from the rules beside it; change those.\n"


class _Dumper(yaml.SafeDumper):
    """Keeps expressions of several lines as they are."""


_Dumper.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None),
)


def resource() -> str:
    """Returns the resource with the groups of all files."""
    groups = [group for path in sorted(RULES.glob("*.yml")) for group in yaml.safe_load(path.read_text())["groups"]]
    document = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "symbiont", "namespace": "symbiont"},
        "spec": {"groups": groups},
    }
    return HEAD + yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=1000)


if __name__ == "__main__":
    RESOURCE.write_text(resource())
