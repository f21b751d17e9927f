"""Checks the dashboards' files against Grafana's own types: python deploy/grafana/check_types.py FOLDER

FOLDER has @grafana/schema and typescript in its node_modules: `make dashboard-types` puts them there. What a file has
that the types do not know, or has in another form, is an error.
"""

import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent / "dashboards"
# An enumeration's values stand in a file as plain words and numbers. What Grafana's part for Prometheus reads of a
# mark is not among the types.
TYPES = """import type { AnnotationQuery, Dashboard, DataQuery } from '@grafana/schema';
type Plain<T> = T extends string ? `${T}`
  : T extends number | boolean | null | undefined ? T
  : T extends (infer Item)[] ? Plain<Item>[]
  : T extends object ? { [Key in keyof T]: Plain<T[Key]> }
  : T;
interface Query extends DataQuery { expr: string; interval?: string; range?: boolean; instant?: boolean }
type Mark = AnnotationQuery<Query> & { titleFormat?: string };
type File = Plain<Omit<Dashboard, 'annotations'> & { annotations: { list: Mark[] } }>;
"""
COMPILER = ["--noEmit", "--skipLibCheck", "--strict", "--module", "esnext", "--moduleResolution", "bundler"]


def source() -> str:
    """Returns a TypeScript file with every dashboard as a value of the type."""
    values = [
        f"// {path.name}\nexport const dashboard{number}: File = {path.read_text()};\n"
        for number, path in enumerate(sorted(FOLDER.glob("*.json")))
    ]
    return TYPES + "".join(values)


def main() -> None:
    """Checks; exits with the compiler's status."""
    folder = Path(sys.argv[1])
    file = folder / "dashboards.ts"
    file.write_text(source())
    done = subprocess.run([folder / "node_modules/.bin/tsc", *COMPILER, "--target", "es2022", file])
    if done.returncode == 0:
        print(f"{len(list(FOLDER.glob('*.json')))} dashboards fit the types of @grafana/schema")
    sys.exit(done.returncode)


if __name__ == "__main__":
    main()
