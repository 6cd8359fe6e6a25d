"use strict";
(() => {
  const value = (cell) => {
    const text = cell.textContent.replace(/−/g, "-").replace(/,(?=\d{3})/g, "");
    const found = /^\s*[+-]?\d+(\.\d+)?(e[+-]?\d+)?/i.exec(text);
    return found ? Number(found[0]) : null;
  };

  const compare = (one, other) => {
    const [a, b] = [value(one), value(other)];
    if (a !== null && b !== null) return a - b;
    if (a !== null || b !== null) return a !== null ? -1 : 1;
    return one.textContent.localeCompare(other.textContent);
  };

  const sort = (table, column, heading) => {
    const down = heading.getAttribute("aria-sort") === "ascending";
    for (const each of table.querySelectorAll("th")) each.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", down ? "descending" : "ascending");
    const body = table.tBodies[0];
    const rows = [...body.rows].sort((one, other) => compare(one.cells[column], other.cells[column]));
    body.append(...(down ? rows.reverse() : rows));
  };

  const quoted = (text) => (/[",\n]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text);

  const save = (table) => {
    const rows = [...table.rows].map((row) => [...row.cells].map((cell) => quoted(cell.textContent)).join(","));
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([rows.join("\n") + "\n"], { type: "text/csv" }));
    link.download = `${(table.dataset.name || "table").replace(/[^\p{L}\p{N}]+/gu, "-").slice(0, 60)}.csv`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  };

  for (const table of document.querySelectorAll("table")) {
    for (const [column, heading] of [...table.tHead.rows[0].cells].entries()) {
      const button = document.createElement("button");
      button.append(...heading.childNodes);
      heading.append(button);
      heading.addEventListener("click", () => sort(table, column, heading));
    }
    const button = document.createElement("button");
    button.className = "save";
    button.textContent = "save as CSV";
    button.addEventListener("click", () => save(table));
    table.parentElement.after(button);
  }
})();
