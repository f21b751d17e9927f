// One panel, drawn by Grafana's own components.

import {
  DataFrame,
  dateTime,
  DisplayValue,
  DisplayValueAlignmentFactors,
  FieldDisplay,
  getDisplayValueAlignmentFactors,
  reduceField,
  TimeRange,
  VizOrientation,
} from '@grafana/data';
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
  const largest = Math.max(...frames.map(lastOf));
  const alignmentFactors = getDisplayValueAlignmentFactors(frames.map((frame) => ({ display: shownOf(frame) }) as FieldDisplay));
  return (
    <VizRepeater
      {...size}
      orientation={panel.type === 'stat' ? panel.options.orientation : 'horizontal'}
      source={frames}
      getValues={() => frames}
      renderCounter={0}
      minVizHeight={panel.options.minVizHeight}
      maxVizHeight={panel.options.maxVizHeight}
      renderValue={({ value, width, height }) => (
        <Value {...{ panel, look, alignmentFactors, largest }} frame={value} width={width} height={height} />
      )}
    />
  );
}

interface ValueProps extends Size {
  panel: any;
  look: Look;
  frame: DataFrame;
  largest: number;
  alignmentFactors: DisplayValueAlignmentFactors;
}

function Value({ panel, look, frame, largest, alignmentFactors, ...size }: ValueProps) {
  const { display, config } = frame.fields[1];
  const value = shownOf(frame);
  const { displayMode, namePlacement, colorMode, graphMode, textMode, justifyMode, text } = panel.options;
  if (panel.type === 'bargauge') {
    // Bars of a panel are measured by its largest, unless there is a limit.
    const field = { ...config, max: config.max ?? largest };
    const shown = { theme: look.theme, value, text, displayMode, namePlacement, display, alignmentFactors };
    return <BarGauge {...shown} field={field} orientation={VizOrientation.Horizontal} {...size} />;
  }
  const modes = { colorMode, graphMode, textMode, justifyMode };
  return <BigValue theme={look.theme} value={value} text={text} {...modes} {...size} />;
}

function shownOf(frame: DataFrame): DisplayValue {
  const { display, config } = frame.fields[1];
  return { ...display!(lastOf(frame)), title: config.displayNameFromDS };
}

function lastOf(frame: DataFrame): number {
  return reduceField({ field: frame.fields[1], reducers: ['lastNotNull'] }).lastNotNull;
}

function rangeOf(look: Look): TimeRange {
  const [from, to] = [dateTime((look.end - look.span) * 1000), dateTime(look.end * 1000)];
  return { from, to, raw: { from, to } };
}
