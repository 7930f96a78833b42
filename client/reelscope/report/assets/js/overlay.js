// Shapes over the picture, on a canvas of the picture's size.

class Overlay {
  constructor(canvas, results, lanes) {
    this.canvas = canvas;
    this.context = canvas.getContext('2d');
    const random = new Set(lanes.filter((lane) => lane.isRandom).map((lane) => lane.name));
    this.layers = LAYERS.filter((layer) => results.analyzers[layer.analyzer]?.summary)
      .map((layer) => ({ ...layer, tracks: layer.tracks(results), isRandom: random.has(layer.analyzer) }))
      .filter((layer) => layer.tracks.length)
      .map((layer) => ({ ...layer, isOn: layer.isOn && !layer.isRandom }));
    this.time = 0;
    this.recolour();
    new ResizeObserver(() => this.draw()).observe(canvas.parentElement);
  }

  recolour() {
    for (const layer of this.layers) layer.colour = colour(`on-film-${layer.tone}`);
  }

  // A switch for every layer.
  switches(list) {
    for (const layer of this.layers) {
      const box = element('input', { type: 'checkbox', 'data-layer': layer.name });
      box.checked = layer.isOn;
      box.addEventListener('change', () => {
        layer.isOn = box.checked;
        this.draw();
      });
      const swatch = element('span', { class: 'swatch' });
      swatch.style.background = layer.colour;
      list.append(element('label', { class: layer.isRandom ? 'layer random' : 'layer' }, box, swatch, layer.title,
        layer.isRandom ? element('span', { class: 'badge random' }, 'random') : null));
    }
    if (!this.layers.length) list.hidden = true;
  }

  show(time) {
    this.time = time;
    this.draw();
  }

  draw() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const ratio = window.devicePixelRatio || 1;
    const [across, down] = [Math.round(width * ratio), Math.round(height * ratio)];
    if (this.canvas.width !== across || this.canvas.height !== down) {
      this.canvas.width = across;
      this.canvas.height = down;
    }
    const context = this.context;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    let drawn = 0;
    for (const layer of this.layers.filter((each) => each.isOn)) {
      context.strokeStyle = context.fillStyle = layer.colour;
      context.lineWidth = 2;
      context.setLineDash(layer.isRandom ? [4, 4] : []);
      for (const track of layer.tracks) {
        const shape = shapeAt(track, this.time);
        if (!shape) continue;
        drawn += 1;
        DRAWERS[track.kind](context, shape, width, height, track, this.time);
        context.strokeStyle = context.fillStyle = layer.colour;
      }
    }
    this.canvas.dataset.drawn = drawn;
    if (this.layers.some((layer) => layer.isOn && layer.isRandom)) {
      tag(context, 8, height - 10, 'random weights: these shapes mean nothing', '#ffd24d');
    }
  }
}

const DRAWERS = {
  box(context, [x1, y1, x2, y2], width, height, track, time) {
    context.strokeRect(x1 * width, y1 * height, (x2 - x1) * width, (y2 - y1) * height);
    tag(context, x1 * width, y1 * height - 4, track.label(time), context.strokeStyle);
  },
  face(context, shape, width, height, track, time) {
    DRAWERS.box(context, shape, width, height, track, time);
    const at = lastUpTo(track.times, time);
    if (track.contact?.[at]) tag(context, shape[0] * width, shape[3] * height + 14, 'looks at the viewer', context.strokeStyle);
  },
  quad(context, points, width, height, track, time) {
    context.beginPath();
    for (let k = 0; k < 8; k += 2) context.lineTo(points[k] * width, points[k + 1] * height);
    context.closePath();
    context.stroke();
    tag(context, points[0] * width, points[1] * height - 4, track.label(time), context.strokeStyle);
  },
  pose(context, points, width, height, track) {
    const joint = (k) => [points[3 * k] * width, points[3 * k + 1] * height, points[3 * k + 2] >= track.least];
    for (const [a, b] of SKELETON) {
      const [x1, y1, isSeen] = joint(a);
      const [x2, y2, isOtherSeen] = joint(b);
      if (!isSeen || !isOtherSeen) continue;
      context.beginPath();
      context.moveTo(x1, y1);
      context.lineTo(x2, y2);
      context.stroke();
    }
    for (let k = 0; k < points.length / 3; k += 1) {
      const [x, y, isSeen] = joint(k);
      if (isSeen) context.fillRect(x - 2, y - 2, 4, 4);
    }
  },
  subject(context, [x, y], width, height) {
    context.save();
    context.lineWidth = 1;
    context.globalAlpha = 0.6;
    for (const third of [1 / 3, 2 / 3]) {
      context.strokeRect(third * width, -2, 0, height + 4);
      context.strokeRect(-2, third * height, width + 4, 0);
    }
    context.restore();
    context.beginPath();
    context.arc(x * width, y * height, 9, 0, 2 * Math.PI);
    context.moveTo(x * width - 14, y * height);
    context.lineTo(x * width + 14, y * height);
    context.moveTo(x * width, y * height - 14);
    context.lineTo(x * width, y * height + 14);
    context.stroke();
  },
  safe(context, [x1, y1, x2, y2], width, height) {
    context.save();
    context.globalAlpha = 0.35;
    context.fillStyle = '#000';
    context.beginPath();
    context.rect(0, 0, width, height);
    context.rect(x1 * width, y1 * height, (x2 - x1) * width, (y2 - y1) * height);
    context.fill('evenodd');
    context.restore();
    context.setLineDash([6, 4]);
    context.strokeRect(x1 * width, y1 * height, (x2 - x1) * width, (y2 - y1) * height);
  },
};

// A small label on a dark plate, readable on any picture.
function tag(context, x, y, text, ink) {
  if (!text) return;
  context.save();
  context.setLineDash([]);
  context.font = '600 11px system-ui, sans-serif';
  const width = context.measureText(text).width + 8;
  const left = Math.max(0, x);
  const top = Math.max(14, y);
  context.fillStyle = 'rgba(10, 12, 16, 0.8)';
  context.fillRect(left, top - 12, width, 16);
  context.fillStyle = ink;
  context.fillText(text, left + 4, top);
  context.restore();
}
