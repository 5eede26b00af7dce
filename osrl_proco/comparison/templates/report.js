"use strict";
// Tables: a click on a heading sorts by that column (numbers by data-sort), a filter keeps the rows that hold all words.
document.querySelectorAll("table.sortable").forEach(function (table) {
  table.querySelectorAll("thead th").forEach(function (head, column) {
    const first = table.tBodies[0].rows[0];
    if (first && first.cells[column].classList.contains("text")) head.style.textAlign = "left";
    function sort() {
      const up = head.dataset.order !== "up";
      table.querySelectorAll("thead th").forEach(function (other) { delete other.dataset.order; });
      head.dataset.order = up ? "up" : "down";
      const key = function (row) {
        const cell = row.cells[column];
        return cell.dataset.sort === undefined ? cell.textContent : Number(cell.dataset.sort);
      };
      const rows = Array.from(table.tBodies[0].rows);
      rows.sort(function (a, b) {
        const x = key(a), y = key(b);
        const order = typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y));
        return up ? order : -order;
      });
      table.tBodies[0].append(...rows);
    }
    head.addEventListener("click", sort);
    head.addEventListener("keydown", function (event) { if (event.key === "Enter") sort(); });
  });
});
document.querySelectorAll("input.filter").forEach(function (input) {
  input.addEventListener("input", function () {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of document.getElementById(input.dataset.table).tBodies[0].rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every(function (word) { return text.includes(word); });
    }
  });
});
// Plots: all figures lie in one JSON; a figure is drawn when it is near the screen, or chosen.
const store = document.getElementById("figures");
if (store) {
  const figures = JSON.parse(store.textContent);
  const draw = function (place, figure) {
    if (figure) Plotly.react(place, figure.data, figure.layout, { responsive: true, displaylogo: false });
  };
  const watch = new IntersectionObserver(function (entries) {
    entries.forEach(function (entry) {
      if (!entry.isIntersecting) return;
      const [group, name] = entry.target.dataset.figure.split("/");
      draw(entry.target, (figures[group] || {})[name]);
      watch.unobserve(entry.target);
    });
  }, { rootMargin: "400px" });
  document.querySelectorAll(".plot[data-figure]").forEach(function (place) { watch.observe(place); });
  const fill = function (select, names) {
    const before = select.value;
    select.replaceChildren(...names.map(function (name) { return new Option(name, name); }));
    if (names.includes(before)) select.value = before;
  };
  document.querySelectorAll("select[data-plot]").forEach(function (select) {
    const place = document.getElementById(select.dataset.plot), group = figures[select.dataset.group];
    const second = document.querySelector('select[data-second="' + select.dataset.plot + '"]');
    const show = function () {
      const chosen = group[select.value];
      draw(place, second ? chosen[second.value] : chosen);
    };
    const change = function () {
      if (second) fill(second, Object.keys(group[select.value]));
      show();
    };
    fill(select, Object.keys(group));
    select.addEventListener("change", change);
    if (second) second.addEventListener("change", show);
    change();
  });
}
