// Figures with controls: all their pictures are drawn, and moving a control shows another one.
"use strict";

for (const figure of document.querySelectorAll("figure.live")) {
  // pictures: the positions of the controls, such as "0,2" -> [file, width, height, words]
  const { shelf, start, texts, pictures } = JSON.parse(figure.dataset.live);
  const [image, words, note] = ["img", "figcaption", ".note"].map((part) => figure.querySelector(part));
  const controls = [...figure.querySelectorAll("input, select")];
  const names = [...figure.querySelectorAll("label span")].map((name) => name.textContent);
  const rule = note?.textContent;
  let moved = null;

  const positions = () => controls.map((c) => (c.type === "checkbox" ? Number(c.checked) : Number(c.value)));

  function place(control, i, position) {
    if (control.type === "checkbox") control.checked = Boolean(position);
    else control.value = position;
    if (control.type === "range") {
      control.setAttribute("aria-valuetext", texts[i][position]);
      control.nextElementSibling.value = texts[i][position];
    }
  }

  function show() {
    const wanted = positions().join();
    const [file, width, height, sentence] = pictures[wanted];
    const next = new Image();
    next.src = `${shelf}/${file}`;
    // The old picture stays until the new one is there, so that nothing flickers.
    next.decode().then(
      () => {
        if (positions().join() !== wanted) return;
        Object.assign(image, { loading: "eager", src: next.src, width, height, alt: sentence });
        words.textContent = sentence;
      },
      () => { words.textContent = "This picture could not be loaded."; },
    );
  }

  function move(k) {
    if (!(positions().join() in pictures)) {
      const others = controls.flatMap((_, i) => (i !== k && positions()[i] !== start[i] ? [i] : []));
      others.forEach((i) => place(controls[i], i, start[i]));
      const back = others.map((i) => `${names[i]} (${texts[i][start[i]]})`).join(", ");
      note.textContent = `Back at the start: ${back}. ${rule}`;
    } else if (note && k !== moved) {
      note.textContent = rule;
    }
    moved = k;
    place(controls[k], k, positions()[k]);
    show();
  }

  controls.forEach((control, i) => {
    place(control, i, start[i]); // a browser may have kept another position
    control.addEventListener("input", () => move(i));
  });
  for (const hidden of figure.querySelectorAll("[hidden]")) hidden.hidden = false;
}
