// The chart of the home page: uPlot over the JSON that the page carries. Its colours are the page's. It draws into a shadow,
// which a live update of the page around it does not touch.

class Chart extends HTMLElement {
  connectedCallback() {
    if (!this.shadowRoot) {
      const sheet = document.createElement("link");
      sheet.rel = "stylesheet";
      sheet.href = this.dataset.css;
      this.place = document.createElement("div");
      this.attachShadow({ mode: "open" }).append(sheet, this.place);
    }
    this.observer = new MutationObserver(() => this.draw());
    this.observer.observe(this, { childList: true, subtree: true, characterData: true });
    this.sizes = new ResizeObserver(() => this.fit());
    this.sizes.observe(this);
    this.theme = new MutationObserver(() => { this.drawn = ""; this.draw(); });
    this.theme.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
    this.draw();
  }

  disconnectedCallback() {
    for (const one of [this.observer, this.sizes, this.theme]) one?.disconnect();
    this.plot?.destroy();
    this.plot = null;
  }

  draw() {
    const text = this.querySelector("script")?.textContent ?? "";
    if (!window.uPlot || !text || text === this.drawn) return;
    this.drawn = text;
    const data = JSON.parse(text);
    const style = getComputedStyle(this);
    const colour = (name) => this.colour(style.getPropertyValue(name));
    const line = (key, stroke) => ({ label: this.dataset[key], stroke, width: 2, points: { show: false } });
    const axis = { stroke: colour("--dim"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line"), width: 1 }, font: `12px ${style.fontFamily}` };
    const lang = document.documentElement.lang;
    const spoken = navigator.languages?.find((one) => one.split("-")[0] === lang.split("-")[0]) ?? lang;
    const day = new Intl.DateTimeFormat(spoken, { month: "short", day: "numeric" });
    const clock = new Intl.DateTimeFormat(spoken, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
    const values = (_plot, splits) => {
      let last = "";
      return splits.map((at) => {
        const date = day.format(at * 1000);
        const long = data.times.at(-1) - data.times[0] > 3 * 86400;
        const words = long ? date : clock.format(at * 1000) + (date === last ? "" : `\n${date}`);
        last = date;
        return words;
      });
    };
    const rows = [data.times, data.accepted, data.sent, data.failed];
    this.plot?.destroy();
    this.plot = new window.uPlot({
      width: this.clientWidth || 320,
      height: 220,
      cursor: { y: false },
      legend: { show: false },
      scales: { y: { range: (_plot, _low, high) => [0, Math.max(4, high * 1.1)] } },
      series: [{}, line("accepted", colour("--dim")), line("sent", colour("--good")), line("failed", colour("--bad"))],
      axes: [{ ...axis, values, space: 70 }, { ...axis, size: 46, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 50000, 100000, 500000, 1000000] }],
    }, rows, this.place);
  }

  // uPlot draws on a canvas, which knows no light-dark(): an element resolves it.
  colour(value) {
    const probe = document.createElement("span");
    probe.style.color = value;
    document.body.append(probe);
    const found = getComputedStyle(probe).color;
    probe.remove();
    return found;
  }

  fit() {
    if (this.plot && this.clientWidth && this.clientWidth !== this.plot.width) this.plot.setSize({ width: this.clientWidth, height: 220 });
  }
}

customElements.define("kurir-chart", Chart);
