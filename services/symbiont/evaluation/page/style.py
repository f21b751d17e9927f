"""How the page looks: on screens, light and dark, and on paper."""

STYLE = """
:root{color-scheme:light dark;--paper:#fff;--ink:#1f2328;--muted:#59636e;--rule:#d5dbe1;--soft:#f5f7f9;--good:#1a7f37;
--bad:#c62f28}
@media (prefers-color-scheme:dark){:root{--paper:#14181d;--ink:#e6edf3;--muted:#9aa4af;--rule:#3a424b;--soft:#1d232a;
--good:#45c25a;--bad:#ff7b72}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);line-height:1.55;font-size:16px;
font-family:system-ui,"Noto Sans CJK SC","PingFang SC","Microsoft YaHei",sans-serif}
main{max-width:780px;margin:0 auto;padding:40px 24px 64px}
header{border-bottom:2px solid var(--ink);padding-bottom:16px}
h1{font-size:28px;line-height:1.25;margin:0 0 6px}
h2{font-size:20px;margin:0 0 10px}
h3{font-size:16px;margin:24px 0 6px}
p{margin:0 0 10px}
section{margin-top:36px}
.muted{color:var(--muted)}
.lead{font-size:20px;line-height:1.45;border-left:4px solid currentColor;padding:4px 0 4px 16px;margin:14px 0 16px}
.badge{display:inline-block;font-weight:600;border:2px solid currentColor;border-radius:6px;padding:2px 12px;
margin:10px 0 4px}
.good{color:var(--good)}.bad{color:var(--bad)}
.rules{list-style:none;padding:0;margin:0}
.rules span{color:var(--ink)}
.rules li{border-left:4px solid currentColor;padding:2px 0 2px 12px;margin:8px 0}
ul{padding-left:20px;margin:0 0 12px}
.wide{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:14px;margin:8px 0 4px}
th,td{text-align:left;vertical-align:top;padding:6px 10px;border-bottom:1px solid var(--rule)}
th{color:var(--muted);font-weight:600;border-bottom-color:var(--muted)}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
td{overflow-wrap:anywhere}
figure{margin:14px 0 0;overflow-x:auto}
figure svg{max-width:100%;height:auto;display:block}
dl{display:grid;grid-template-columns:max-content 1fr;gap:4px 20px;font-size:14px;margin:0}
dt{color:var(--muted)}dd{margin:0;overflow-wrap:anywhere}
@media print{:root{color-scheme:light;--paper:#fff;--ink:#1f2328;--muted:#59636e;--rule:#d5dbe1;--good:#1a7f37;
--bad:#c62f28}
body{font-size:11pt}main{max-width:none;padding:0}h2,h3{break-after:avoid}figure,tr,.lead{break-inside:avoid}
.wide,figure{overflow:visible}}
"""
