// Draws a dashboard's file: ?dashboard=overview&prometheus=http://...&end=seconds&span=seconds&variables={...}

import { createTheme, ThemeContext } from '@grafana/data';
import { GlobalStyles } from '@grafana/ui';
import React from 'react';
import { createRoot } from 'react-dom/client';

import { Look } from './frames';
import { Panel } from './panel';

// Of Grafana's grid: 24 columns, 38 pixels a row, 8 between panels.
const [WIDTH, COLUMNS, ROW, GAP, HEAD] = [1400, 24, 38, 8, 78];

const asked = new URLSearchParams(location.search);
const theme = createTheme({ colors: { mode: 'dark' } });
const look: Look = {
  theme,
  prometheus: asked.get('prometheus')!,
  end: Number(asked.get('end')),
  span: Number(asked.get('span')),
  variables: JSON.parse(asked.get('variables')!),
};

function place({ x, y, w, h }: { x: number; y: number; w: number; h: number }) {
  const column = (WIDTH - GAP) / COLUMNS;
  return { left: x * column + GAP, top: y * ROW + HEAD, width: w * column - GAP, height: h * ROW - GAP };
}

function Cell({ panel }: { panel: any }) {
  const { left, top, width, height } = place(panel.gridPos);
  const style: React.CSSProperties = { position: 'absolute', left, top, width, height };
  if (panel.type === 'row') {
    return <h4 style={{ ...style, margin: 0, paddingTop: 5 }}>{panel.title}</h4>;
  }
  return (
    <div style={style}>
      <Panel panel={panel} look={look} width={width} height={height} />
    </div>
  );
}

function Page({ dashboard }: { dashboard: any }) {
  return (
    <>
      <div style={{ position: 'absolute', left: GAP, top: 14 }}>
        <h2 style={{ margin: 0 }}>{dashboard.title}</h2>
        <div style={{ color: theme.colors.text.secondary }}>{dashboard.description}</div>
      </div>
      {dashboard.panels.map((panel: any) => (
        <Cell key={panel.id} panel={panel} />
      ))}
    </>
  );
}

const dashboard = await (await fetch(`dashboards/${asked.get('dashboard')}.json`)).json();
createRoot(document.getElementById('root')!).render(
  <ThemeContext.Provider value={theme}>
    <GlobalStyles />
    <Page dashboard={dashboard} />
  </ThemeContext.Provider>
);
