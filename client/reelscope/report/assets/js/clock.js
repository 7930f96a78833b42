// Where we are in the clip: the video's own time where there is a video that plays, else a clock of ours.
// Times are seconds from the first displayed frame, as in the results; a video whose sound begins earlier counts from there.

class Clock extends EventTarget {
  constructor(duration, lead) {
    super();
    this.duration = duration;
    this.lead = lead;
    this.video = null;
    this.held = 0;
    this.since = null;
  }

  // Take the video for the clock; when it cannot be played the old clock goes on.
  attach(video, onFailure) {
    const begin = () => {
      const at = this.time;
      this.pause();
      this.video = video;
      for (const kind of ['seeked', 'play', 'pause', 'ended']) {
        video.addEventListener(kind, () => this.changed());
      }
      video.addEventListener('play', () => this.follow());
      this.seek(at);
    };
    video.addEventListener('error', onFailure);
    if (video.readyState >= 1) begin();
    else video.addEventListener('loadedmetadata', begin, { once: true });
  }

  get time() {
    if (this.video) return Math.min(this.duration, Math.max(0, this.video.currentTime - this.lead));
    const run = this.since === null ? 0 : (performance.now() - this.since) / 1000;
    return Math.min(this.duration, this.held + run);
  }

  get isPlaying() {
    return this.video ? !this.video.paused && !this.video.ended : this.since !== null;
  }

  seek(time) {
    const to = Math.min(this.duration, Math.max(0, time));
    if (this.video) {
      // Results round to the millisecond: one later, and the frame that begins here is shown, not the one before.
      this.video.currentTime = Math.min(to + 0.001, this.duration) + this.lead;
    } else {
      this.held = to;
      if (this.since !== null) this.since = performance.now();
    }
    this.changed();
  }

  toggle() {
    if (this.isPlaying) this.pause();
    else this.play();
  }

  play() {
    if (this.time >= this.duration - 0.02) this.seek(0);
    if (this.video) {
      this.video.play().catch(() => this.changed());
      return;
    }
    this.since = performance.now();
    this.follow();
    this.changed();
  }

  pause() {
    if (this.video) {
      this.video.pause();
      return;
    }
    this.held = this.time;
    this.since = null;
    this.changed();
  }

  // Tell the time with every picture while it runs.
  follow() {
    const next = () => {
      this.dispatchEvent(new Event('time'));
      if (!this.video && this.time >= this.duration) this.pause();
      if (this.isPlaying) requestAnimationFrame(next);
    };
    requestAnimationFrame(next);
  }

  changed() {
    this.dispatchEvent(new Event('time'));
    this.dispatchEvent(new Event('state'));
  }
}
