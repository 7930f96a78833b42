// Options of an analysis, folded away: which analyzers, biometrics, detail.

import { GROUPS, NAMES, titleOf } from './analyzers.js';
import { byId, counted, element, say } from './dom.js';

export class Options {
  constructor() {
    this.boxes = new Map();
    byId('only').append(...GROUPS.map((group) => this.group(group)));
    byId('all').addEventListener('click', () => this.set(() => true));
    byId('none').addEventListener('click', () => this.set(() => false));
    byId('options').addEventListener('change', () => this.changed());
    this.changed();
  }

  group({ title, tone, names }) {
    const boxes = names.map((name) => {
      const box = element('input', { type: 'checkbox', checked: true, value: name });
      this.boxes.set(name, box);
      return element('label', { className: 'check' }, box, ' ', element('span', {}, titleOf(name)));
    });
    const legend = element('legend', {}, title);
    return element('fieldset', { dataset: { tone } }, legend, ...boxes);
  }

  set(isWanted) {
    for (const [name, box] of this.boxes) box.checked = isWanted(name);
    this.changed();
  }

  // What /health knows: who judges people, and who is switched off altogether.
  know(health) {
    const people = NAMES.filter((name) => health.analyzers[name]?.biometric);
    say(byId('biometric-names'), people.length ? `leaves out ${people.map(titleOf).join(', ').toLowerCase()}` : 'none here does');
    for (const [name, box] of this.boxes) box.disabled = !(name in health.analyzers);
  }

  get chosen() {
    return [...this.boxes].filter(([, box]) => box.checked).map(([name]) => name);
  }

  changed() {
    const chosen = this.chosen.length;
    const said = [chosen === NAMES.length ? 'all analyzers' : counted(chosen, 'analyzer')];
    if (byId('no-biometrics').checked) said.push('no biometrics');
    if (byId('full-detail').checked) said.push('full detail');
    byId('options-say').textContent = said.join(', ');
    const first = this.boxes.get(NAMES[0]);
    first.setCustomValidity(chosen ? '' : 'Choose at least one analyzer.');
  }

  // As the gateway takes them; what is as by default is left out.
  read() {
    const chosen = this.chosen;
    return {
      ...(chosen.length < NAMES.length && { only: chosen }),
      ...(byId('full-detail').checked && { detail: 'full' }),
      ...(byId('no-biometrics').checked && { no_biometrics: true }),
    };
  }
}
