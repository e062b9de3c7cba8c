/* What a page does with a script: the theme, and tables that sort, filter and hide columns. Without it all is there. */
(function () {
  "use strict";
  var root = document.documentElement;
  var remembered = null;
  try { remembered = localStorage.getItem("lthbench-theme"); } catch (error) { /* storage may be closed */ }
  if (remembered === "light" || remembered === "dark") { root.dataset.theme = remembered; }

  /* The number that a cell begins with: "5.3k ± 0.1k" is 5300; what has none sorts last upwards. */
  function leading(cell) {
    var text = cell.replace(/<[^>]*>/g, "").replace(/,/g, "").replace("\u2212", "-").trim();
    var found = text.match(/^(-?[\d.]+(?:e[-+]?\d+)?)([kMGT]?)/);
    return found ? parseFloat(found[1]) * { "": 1, k: 1e3, M: 1e6, G: 1e9, T: 1e12 }[found[2]] : Infinity;
  }

  function sortable(table) {
    var read = table.classList.contains("read") ? [{
      targets: "_all",
      render: function (cell, kind, row, where) {
        if (where.col === 0 || (kind !== "sort" && kind !== "type")) { return cell; }
        return kind === "type" ? 0 : leading(cell);
      }
    }] : [];
    var box = table.closest(".scroll"), plain = table.classList.contains("plain");
    var made = new window.DataTable(table, {
      paging: false,
      info: false,
      order: [],
      columnDefs: read,
      autoWidth: false,
      layout: plain ? { topStart: null, topEnd: null, bottomStart: null, bottomEnd: null } : {
        topStart: { buttons: [{ extend: "colvis", text: "Columns", columns: function (place) { return place > 1; } }] },
        topEnd: { search: { placeholder: "method, sparsity ..." } }
      },
      language: { search: "Filter", zeroRecords: "Nothing fits the filter." }
    });
    // The tools stay where they are while the table scrolls sideways.
    var tools = made.table().container().querySelector(".dt-layout-row:not(.dt-layout-table)");
    if (box && tools && !plain) { box.parentNode.insertBefore(tools, box); }
  }

  /* A leaderboard: the numbers behind the cell that is pointed at, and methods of one family. */
  function leaderboard(board) {
    var tell = board.querySelector(".tell"), rest = tell && tell.textContent, filter = board.querySelector(".filter");
    function show(event) {
      var cell = event.target.closest("td"), found = cell && cell.querySelector("[title]");
      tell.textContent = found ? found.getAttribute("title") + "." : rest;
    }
    if (tell) {
      board.querySelector("tbody").addEventListener("mouseover", show);
      board.querySelector("tbody").addEventListener("focusin", show);
      board.querySelector("table").addEventListener("mouseleave", function () { tell.textContent = rest; });
    }
    if (!filter) { return; }
    filter.hidden = false;
    filter.querySelector("select").addEventListener("change", function (event) {
      board.querySelectorAll("tbody tr").forEach(function (row) {
        row.hidden = event.target.value !== "" && row.dataset.family !== event.target.value;
      });
    });
  }

  /* A link to what is folded unfolds it. */
  function unfold() {
    var name = location.hash.slice(1);
    try { name = decodeURIComponent(name); } catch (error) { /* a sign that is no escape stands for itself */ }
    var target = name && document.getElementById(name);
    var folded = target && (target.closest("details") || target.querySelector(":scope > details"));
    for (; folded; folded = folded.parentElement.closest("details")) { folded.open = true; }
  }

  /* On paper each method and all scores are unfolded; what else is folded is left out. */
  var unfolded = [];
  window.addEventListener("beforeprint", function () {
    document.querySelectorAll("details.method, details.more, details.about, #scores > details").forEach(function (part) {
      unfolded.push([part, part.open, part.getAttribute("name")]);
      part.removeAttribute("name"); // those of one name fold each other
      part.open = true;
    });
  });
  window.addEventListener("afterprint", function () {
    unfolded.splice(0).forEach(function (kept) {
      kept[0].open = kept[1];
      if (kept[2] !== null) { kept[0].setAttribute("name", kept[2]); }
    });
  });

  document.addEventListener("DOMContentLoaded", function () {
    var button = document.getElementById("theme");
    if (button) {
      var dark = function () {
        return root.dataset.theme ? root.dataset.theme === "dark"
          : window.matchMedia("(prefers-color-scheme: dark)").matches;
      };
      var say = function () {
        button.textContent = dark() ? "Light" : "Dark";
        button.setAttribute("aria-label", "Switch to " + (dark() ? "light" : "dark") + " colours");
      };
      button.hidden = false;
      say();
      button.addEventListener("click", function () {
        root.dataset.theme = dark() ? "light" : "dark";
        try { localStorage.setItem("lthbench-theme", root.dataset.theme); } catch (error) { /* as above */ }
        say();
      });
    }
    document.querySelectorAll(".board").forEach(leaderboard);
    window.addEventListener("hashchange", unfold);
    unfold();
    if (!window.DataTable) { return; }
    document.querySelectorAll("table.sortable").forEach(function (table) {
      // What is folded away is made sortable when it is opened: a page has thousands of cells.
      var folded = table.closest("details:not([open])");
      if (folded) { folded.addEventListener("toggle", function () { sortable(table); }, { once: true }); } else { sortable(table); }
    });
  });
})();
