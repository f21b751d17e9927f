// One panel, drawn by Grafana's own components.

import { DataFrame, dateTime, DisplayValue, reduceField, TimeRange } from '@grafana/data';
import { BarGauge, BigValue, PanelChrome, TimeSeries, VizRepeater } from '@grafana/ui';
import React from 'react';

import { framesOf, Look } from './frames';

interface Size {
  width: number;
  height: number;
}

export function Panel({ panel, look, width, height }: { panel: any; look: Look } & Size) {
  const [frames, setFrames] = React.useState<DataFrame[]>();
  const [problem, setProblem] = React.useState('');
  React.useEffect(() => {
    framesOf(panel, look).then(setFrames, (error) => setProblem(String(error)));
  }, [panel, look]);
  return (
    <PanelChrome title={panel.title} width={width} height={height}>
      {(inner, innerHeight) => {
        const size = { width: inner, height: innerHeight };
        if (problem || frames?.length === 0) {
          return <b style={{ color: 'red' }}>{problem || 'No data'}</b>;
        }
        return frames ? <Drawn panel={panel} look={look} frames={frames} {...size} /> : null;
      }}
    </PanelChrome>
  );
}

function Drawn({ panel, look, frames, ...size }: { panel: any; look: Look; frames: DataFrame[] } & Size) {
  if (panel.type === 'timeseries') {
    const legend = panel.options.legend;
    return <TimeSeries frames={frames} timeRange={rangeOf(look)} timeZone="utc" legend={legend} options={panel.options} {...size} />;
  }
  return (
    <VizRepeater
      {...size}
      orientation={panel.type === 'stat' ? panel.options.orientation : 'horizontal'}
      source={frames}
      getValues={() => frames}
      renderCounter={0}
      renderValue={({ value, width, height }) => <Value panel={panel} look={look} frame={value} width={width} height={height} />}
    />
  );
}

function Value({ panel, look, frame, ...size }: { panel: any; look: Look; frame: DataFrame } & Size) {
  const field = frame.fields[1];
  const last = reduceField({ field, reducers: ['lastNotNull'] }).lastNotNull;
  const value: DisplayValue = { ...field.display!(last), title: field.state?.displayName ?? field.config.displayNameFromDS };
  const options = panel.options;
  if (panel.type === 'bargauge') {
    const { display, config } = field;
    return <BarGauge theme={look.theme} value={value} field={config} display={display} orientation="horizontal" displayMode={options.displayMode} {...size} />;
  }
  const sparkline = options.graphMode === 'area' ? { y: field, x: frame.fields[0] } : undefined;
  return <BigValue theme={look.theme} value={value} sparkline={sparkline} colorMode={options.colorMode} graphMode={options.graphMode} textMode={options.textMode} justifyMode={options.justifyMode} {...size} />;
}

function rangeOf(look: Look): TimeRange {
  const [from, to] = [dateTime((look.end - look.span) * 1000), dateTime(look.end * 1000)];
  return { from, to, raw: { from, to } };
}
