// The clip to be analysed: dropped, chosen, or named on the server.

import { byId, clock, counted, picture, say, show, size } from './dom.js';

export class Clip extends EventTarget {
  file = null;

  constructor() {
    super();
    byId('file').addEventListener('change', (event) => this.take([...event.target.files]));
    byId('drop-clip').addEventListener('click', () => {
      this.clear();
      byId('file').focus();
    });
    byId('path').addEventListener('input', () => this.dispatchEvent(new Event('change')));
    byId('thumb').addEventListener('loadedmetadata', ({ target }) => this.facts(target.duration));
    byId('thumb').addEventListener('error', () => show(byId('thumb'), false));
    this.listenForDrops();
  }

  listenForDrops() {
    const hasFiles = (event) => event.dataTransfer?.types.includes('Files');
    const curtain = (isDown) => show(byId('curtain'), isDown);
    document.addEventListener('dragover', (event) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      curtain(true);
    });
    document.addEventListener('dragleave', (event) => {
      if (!event.relatedTarget) curtain(false);
    });
    document.addEventListener('drop', (event) => {
      curtain(false);
      if (!hasFiles(event)) return;
      event.preventDefault();
      this.take([...event.dataTransfer.files]);
    });
  }

  take(files) {
    if (!files.length) return;
    const [file] = files;
    this.file = file;
    this.others = files.length - 1;
    byId('chosen-name').textContent = file.name;
    picture(byId('thumb'), file);
    this.facts();
    this.changed();
    this.dispatchEvent(new Event('taken'));
  }

  facts(seconds) {
    const left = this.others ? `; the first of ${counted(this.others + 1, 'file')}` : '';
    const length = Number.isFinite(seconds) ? `${clock(seconds)}, ` : '';
    byId('chosen-facts').textContent = `${length}${size(this.file.size)}${left}`;
  }

  clear() {
    this.file = null;
    byId('file').value = '';
    byId('path').value = '';
    picture(byId('thumb'), null);
    this.changed();
  }

  changed() {
    show(byId('chosen'), this.file);
    show(byId('drop-empty'), !this.file);
    this.dispatchEvent(new Event('change'));
  }

  // What is to be analysed, or null. A file comes before a path.
  get source() {
    const path = byId('path').value.trim();
    if (this.file) return { file: this.file, name: this.file.name };
    return path ? { path, name: path.split('/').at(-1) } : null;
  }

  know(limits) {
    if (!limits) return;
    const length = limits.max_duration_s >= 120 ? `${Math.round(limits.max_duration_s / 60)} minutes` : `${Math.round(limits.max_duration_s)} s`;
    say(byId('limits'), `Up to ${size(limits.max_upload_bytes)} and ${length}. The clip stays on the gateway’s machine.`);
    say(byId('path-hint'), limits.reads_paths ? '' : 'This gateway was started without folders to read clips from (--root): upload the clip.');
    byId('path').disabled = !limits.reads_paths;
  }
}
