// Words, lines of text and shots that are there now are marked; the transcript scrolls along.

class Following {
  constructor() {
    this.items = [...document.querySelectorAll('.word, .line, .film-shot')].map((node) => ({
      node,
      start: Number(node.dataset.start),
      end: Number(node.dataset.end),
    }));
    this.box = byId('transcript');
  }

  show(time) {
    for (const item of this.items) {
      const isNow = item.start <= time && time < Math.max(item.end, item.start + 0.08);
      if (isNow === item.isNow) continue;
      item.isNow = isNow;
      item.node.classList.toggle('now', isNow);
      if (isNow && this.box && item.node.classList.contains('word')) this.reveal(item.node);
    }
  }

  // Scroll the transcript, never the page.
  reveal(node) {
    const [box, word] = [this.box.getBoundingClientRect(), node.getBoundingClientRect()];
    if (word.top < box.top || word.bottom > box.bottom) this.box.scrollTop += word.top - box.top - box.height / 3;
  }
}
