"""Under which id the stored graph of a base is found; known without importing OpenVINO."""

from importlib.metadata import version

KIND = "graphs"


def graph_id(base_digest: str) -> str:
    """Returns the id of a base's graph: another version of OpenVINO may have another graph."""
    return f"{base_digest}.{version('openvino')}"
