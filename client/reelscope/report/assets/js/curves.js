// The 10 Hz curves, drawn by uPlot at the timeline's scale: only the part that can be seen is drawn.

const CURVES = [
  { title: 'Loudness', unit: 'LUFS', from: [['temporal_flow', 'lufs_m'], ['audio_analysis', 'lufs_m']], tone: 'sound', floor: -50 },
  { title: 'Motion', unit: 'grey levels/s', from: [['temporal_flow', 'motion'], ['cut_analysis', 'luma_change']], tone: 'picture', cap: 0.98 },
  { title: 'Intensity', unit: 'z', from: [['temporal_flow', 'intensity']], tone: 'story' },
];

class Curves {
  constructor(results, isRandom) {
    this.charts = [];
    for (const wanted of CURVES) {
      const found = wanted.from
        .filter(([name]) => !isRandom(name))
        .map(([name, column]) => curve(results.analyzers[name], column))
        .find((each) => each);
      if (found) this.charts.push({ ...wanted, ...found });
    }
  }

  // A lane per curve, to be put into the timeline.
  lanes() {
    return this.charts.map((chart) => {
      chart.readout = element('span', { class: 'lane-note' });
      chart.holder = element('div', { class: 'chart' });
      const track = element('div', { class: 'track', role: 'img', 'aria-label': `Curve of ${chart.title.toLowerCase()}, ${chart.unit}` }, chart.holder);
      return element('div', { class: 'lane curve' }, element('div', { class: 'lane-name' }, element('span', {}, chart.title), chart.readout), track);
    });
  }

  draw(width, from, to) {
    for (const chart of this.charts) {
      if (!chart.plot || chart.plot.width !== width) this.make(chart, width);
      chart.plot.setScale('x', { min: from, max: to });
    }
  }

  make(chart, width) {
    chart.plot?.destroy();
    const ink = colour(`group-${chart.tone}`);
    const known = chart.values.filter((value) => value !== null);
    const low = Math.max(Math.min(...known), chart.floor ?? -Infinity);
    const high = [...known].sort((a, b) => a - b)[Math.floor((chart.cap ?? 1) * (known.length - 1))];
    const margin = (high - low || 1) * 0.08;
    chart.plot = new uPlot({
      width,
      height: 52,
      legend: { show: false },
      cursor: { show: false },
      padding: [0, 0, 0, 0],
      scales: { x: { time: false, auto: false }, y: { auto: false, range: [low - margin, high + margin] } },
      axes: [{ show: false }, { show: false }],
      series: [{}, { stroke: ink, width: 1.6, fill: ink.replace('rgb(', 'rgba(').replace(')', ', 0.14)'), fillTo: low - margin, points: { show: false } }],
    }, [chart.times, chart.values.map((value) => (value === null ? null : Math.min(high + margin, Math.max(value, low - margin))))], chart.holder);
  }

  // Values at a time beside the names.
  show(time) {
    for (const chart of this.charts) {
      const value = chart.values[Math.max(0, lastUpTo(chart.times, time + 1e-6))];
      chart.readout.textContent = value === null || value === undefined ? '–' : `${value.toFixed(1).replace('-', '−')} ${chart.unit}`;
    }
  }

  recolour() {
    for (const chart of this.charts) {
      chart.plot?.destroy();
      chart.plot = null;
    }
  }
}
