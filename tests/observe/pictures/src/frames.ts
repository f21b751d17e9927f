// Asks Prometheus what the panels of a dashboard ask, and makes of it the data frames that Grafana's components draw.

import { applyFieldOverrides, DataFrame, FieldType, GrafanaTheme2, toDataFrame } from '@grafana/data';

export interface Look {
  prometheus: string;
  end: number;
  span: number;
  theme: GrafanaTheme2;
  variables: Record<string, string>;
}

const POINTS = 300;

interface Series {
  metric: Record<string, string>;
  values: Array<[number, string]>;
}

export async function framesOf(panel: any, look: Look): Promise<DataFrame[]> {
  const answers = await Promise.all(panel.targets.map((target: any) => ask(target, look)));
  const data = answers.flatMap((found, i) => found.map((series: Series) => frameOf(panel, panel.targets[i], series)));
  const replaceVariables = (text: string) => text;
  const fieldConfig = { defaults: {}, overrides: [] };
  return applyFieldOverrides({ data, fieldConfig, replaceVariables, theme: look.theme, timeZone: 'utc' });
}

async function ask(target: any, look: Look): Promise<Series[]> {
  const query = target.expr.replace(/\$(\w+)/g, (_: string, name: string) => look.variables[name]);
  const answer = await (await fetch(`${look.prometheus}/api/v1/${pathOf(target, query, look)}`)).json();
  if (answer.status !== 'success') {
    throw new Error(answer.error);
  }
  return answer.data.result.map((found: any) => ({ metric: found.metric, values: found.values ?? [found.value] }));
}

function pathOf(target: any, query: string, { end, span }: Look): string {
  if (target.instant) {
    return `query?${new URLSearchParams({ query, time: `${end}` })}`;
  }
  const step = Math.max(1, Math.round(span / POINTS));
  return `query_range?${new URLSearchParams({ query, start: `${end - span}`, end: `${end}`, step: `${step}` })}`;
}

function frameOf(panel: any, target: any, series: Series): DataFrame {
  const name = target.legendFormat.replace(/\{\{\s*(\w+)\s*\}\}/g, (_: string, label: string) => series.metric[label] ?? '');
  const numbers = series.values.map(([, text]) => Number(text)).map((value) => (Number.isFinite(value) ? value : null));
  return toDataFrame({
    refId: target.refId,
    fields: [
      { name: 'Time', type: FieldType.time, values: series.values.map(([seconds]) => seconds * 1000) },
      { name: 'Value', type: FieldType.number, values: numbers, config: { ...configOf(panel), displayNameFromDS: name }, labels: series.metric },
    ],
  });
}

// A file has null where the lowest step begins, and says nothing of colours that go by palette.
function configOf(panel: any): any {
  const defaults = panel.fieldConfig.defaults;
  const steps = defaults.thresholds?.steps ?? [{ color: 'green', value: null }];
  return {
    ...defaults,
    color: defaults.color ?? { mode: 'palette-classic' },
    thresholds: { mode: 'absolute', steps: steps.map((step: any) => ({ ...step, value: step.value ?? -Infinity })) },
  };
}
