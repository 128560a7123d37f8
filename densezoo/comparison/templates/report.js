(() => {
  "use strict";
  const PRINTED_WIDTH = 660; // pixels: of the text on a sheet of A4
  const BAND = 0.18; // how much of its arm's colour a band has
  const root = document.documentElement;
  const charts = JSON.parse(document.getElementById("charts").textContent);
  const said = document.getElementById("said");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const finger = matchMedia("(pointer: coarse)"); // which scrolls the page, and must not zoom into charts
  let printing = false;

  const probe = document.createElement("span");
  probe.hidden = true;
  document.body.append(probe);

  function colourOf(name) {
    const band = name.startsWith("band");
    probe.style.color = `var(--${band ? name.replace("band", "arm") : name})`;
    const found = getComputedStyle(probe).color;
    return band ? found.replace("rgb(", "rgba(").replace(")", `, ${BAND})`) : found;
  }

  // a copy, with the page's own colours for their names; other texts stay as they are
  function painted(value, key) {
    if (Array.isArray(value)) return value.map((item) => painted(item, key));
    if (value !== null && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, painted(item, name)]));
    }
    const named = typeof value === "string" && value.startsWith("@") && key.toLowerCase().endsWith("color");
    return named ? colourOf(value.slice(1)) : value;
  }

  function draw(figure) {
    const chart = charts[figure.dataset.chart];
    const select = figure.querySelector("select");
    const choice = select ? select.value : Object.keys(chart.figures)[0];
    const plot = figure.querySelector(".plot");
    const { data, layout } = painted(chart.figures[choice], "");
    layout.dragmode = finger.matches ? false : "zoom";
    if (printing) layout.width = PRINTED_WIDTH;
    else layout.autosize = true;
    plot.setAttribute("aria-label", chart.labels[choice]);
    figure.querySelector("figcaption").textContent = chart.labels[choice];
    Plotly.react(plot, data, layout, { responsive: true, displayModeBar: false });
  }

  const figures = [...document.querySelectorAll("figure.chart")];
  const drawAll = () => figures.forEach(draw);

  for (const figure of figures) {
    const select = figure.querySelector("select");
    if (!select) continue;
    select.parentElement.hidden = false;
    select.addEventListener("change", () => {
      draw(figure);
      said.textContent = charts[figure.dataset.chart].labels[select.value];
    });
  }

  const theme = document.getElementById("theme");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : dark.matches);
  function showTheme() {
    theme.setAttribute("aria-pressed", String(isDark()));
    drawAll();
  }
  theme.hidden = false;
  theme.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    showTheme();
    said.textContent = isDark() ? "Dark mode" : "Light mode";
  });
  dark.addEventListener("change", showTheme);

  function sortRows(table, column, ascending) {
    const body = table.tBodies[0];
    const rows = [...body.rows].map((row) => ({ row, value: row.cells[column].dataset.value }));
    const known = rows.filter(({ value }) => value !== undefined);
    const numbers = known.every(({ value }) => value.trim() !== "" && Number.isFinite(Number(value)));
    const order = numbers
      ? (one, other) => Number(one.value) - Number(other.value)
      : (one, other) => one.value.localeCompare(other.value, "en", { numeric: true });
    known.sort((one, other) => (ascending ? 1 : -1) * order(one, other));
    const unknown = rows.filter(({ value }) => value === undefined); // last, whichever way
    body.append(...[...known, ...unknown].map(({ row }) => row));
  }

  for (const table of document.querySelectorAll("table.sortable")) {
    const titles = [...table.tHead.rows[0].cells];
    titles.forEach((title, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...title.childNodes);
      title.append(button);
      button.addEventListener("click", () => {
        const ascending = title.getAttribute("aria-sort") !== "ascending";
        titles.forEach((each) => each.removeAttribute("aria-sort"));
        title.setAttribute("aria-sort", ascending ? "ascending" : "descending");
        sortRows(table, column, ascending);
        said.textContent = `Sorted by ${button.textContent}, ${ascending ? "ascending" : "descending"}`;
      });
    });
  }

  function setPrinting(on) {
    if (on === printing) return;
    printing = on;
    root.classList.toggle("printing", on);
    for (const each of document.querySelectorAll("details")) {
      if (on) each.dataset.before = String(each.open);
      each.open = on || each.dataset.before === "true";
    }
    drawAll();
  }
  addEventListener("beforeprint", () => setPrinting(true));
  addEventListener("afterprint", () => setPrinting(false));
  matchMedia("print").addEventListener("change", (event) => setPrinting(event.matches));

  showTheme();
})();
