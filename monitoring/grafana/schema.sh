#!/usr/bin/env bash
# Checks the dashboard against the types that Grafana publishes of its own (npm: @grafana/schema): every key of it and of
# its panels must be one that Grafana knows, with a value of its type. Needs Node, npm, Python 3 and npm's registry.
set -euo pipefail
dashboard=$(cd "$(dirname "$0")" && pwd)/dashboards/addendum.json
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
cd "$out"
echo '{"private": true, "type": "module"}' >package.json
npm install --silent --no-audit --no-fund --ignore-scripts @grafana/schema@13.2.3 typescript@5.9.3

python3 - "$dashboard" >check.ts <<'PYTHON'
import json
import sys

dashboard = json.load(open(sys.argv[1], encoding="utf-8"))
panels = [inner for panel in dashboard["panels"] for inner in [panel, *panel.get("panels", [])]]
kinds = sorted({panel["type"] for panel in panels} - {"row"})
folder = "./node_modules/@grafana/schema/dist/types/raw"
print(f'import type {{ AnnotationQuery, Dashboard, Panel, RowPanel }} from "{folder}/dashboard/x/types.gen";')
for kind in kinds:
    name = kind.replace("-", "")
    print(f'import type * as {name} from "{folder}/composable/{name}/panelcfg/x/types.gen";')
# In JSON an enumeration is its value, and what Grafana has a default for may be left out.
print("""
type Json<T> = unknown extends T ? unknown
  : T extends string ? `${T}`
  : T extends number | boolean | null | undefined ? T
  : T extends (infer U)[] ? Json<U>[]
  : { [K in keyof T]?: Json<T[K]> };
// What an annotation asks is its data source's matter.
type Prometheus = { expr: string; step?: string; titleFormat?: string; textFormat?: string };
""")
shell = {**dashboard, "panels": [], "annotations": {"list": []}}
print(f"({json.dumps(shell)}) satisfies Json<Dashboard>;")
for annotation in dashboard["annotations"]["list"]:
    print(f"({json.dumps(annotation)}) satisfies Json<AnnotationQuery> & Prometheus;")
for panel in panels:
    name = panel["type"].replace("-", "")
    if name == "row":
        print(f"({json.dumps({**panel, 'panels': []})}) satisfies Json<RowPanel>;")
        continue
    title = json.dumps(panel["title"])
    print(f"// {title}")
    print(f"({json.dumps(panel)}) satisfies Json<Panel>;")
    print(f"({json.dumps(panel.get('options', {}))}) satisfies Json<{name}.Options>;")
    custom = panel.get("fieldConfig", {}).get("defaults", {}).get("custom")
    if custom is not None:
        print(f"({json.dumps(custom)}) satisfies Json<{name}.FieldConfig>;")
print(f'console.log("{len(panels)} panels and rows are of the kinds that Grafana describes");')
PYTHON
npx --no-install tsc --noEmit --strict --skipLibCheck --target es2022 --module esnext --moduleResolution bundler --lib es2022,dom check.ts
tail -n 1 check.ts | sed 's/^console.log("\(.*\)");$/\1/'
