"use strict";
// The pictures of an example zoom and move together. A click magnifies, dragging moves, buttons do both and undo.
const MOST = 16;
for (const example of document.querySelectorAll(".example")) {
  let zoom = 1, x = 0.5, y = 0.5, drag = null;
  const boxes = [...example.querySelectorAll(".box")];
  const within = (centre) => Math.min(Math.max(centre, 0.5 / zoom), 1 - 0.5 / zoom);
  const show = () => {
    x = within(x);
    y = within(y);
    const moved = `translate(${50 - 100 * zoom * x}%, ${50 - 100 * zoom * y}%) scale(${zoom})`;
    for (const box of boxes) box.firstElementChild.style.transform = moved;
    example.classList.toggle("zoomed", zoom > 1);
  };
  const magnify = (factor) => {
    zoom = Math.min(Math.max(zoom * factor, 1), MOST);
    show();
  };
  for (const button of example.querySelectorAll("[data-zoom]")) {
    button.addEventListener("click", () => magnify(Number(button.dataset.zoom)));
  }
  for (const box of boxes) {
    box.addEventListener("pointerdown", (event) => {
      drag = {fromX: event.clientX, fromY: event.clientY, x, y, moved: false};
      box.setPointerCapture(event.pointerId);
      event.preventDefault();
    });
    box.addEventListener("pointermove", (event) => {
      if (!drag) return;
      const right = event.clientX - drag.fromX, down = event.clientY - drag.fromY;
      drag.moved ||= Math.hypot(right, down) > 4;
      x = drag.x - right / (box.clientWidth * zoom);
      y = drag.y - down / (box.clientHeight * zoom);
      show();
    });
    box.addEventListener("pointerup", (event) => {
      if (drag && !drag.moved && zoom < MOST) {
        const place = box.getBoundingClientRect();
        x += ((event.clientX - place.left) / place.width - 0.5) / zoom;
        y += ((event.clientY - place.top) / place.height - 0.5) / zoom;
        magnify(2);
      }
      drag = null;
    });
    box.addEventListener("pointercancel", () => { drag = null; });
  }
}
