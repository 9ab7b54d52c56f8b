/* Images large, one after the other, with their recipe: PhotoSwipe over tiles.
 *
 * A picture of 32 pixels is enlarged by a whole factor; whether its pixels stay crisp is the grid's switch.
 */

import PhotoSwipe from "/static/vendor/photoswipe/photoswipe.esm.min.js";

const STAR = '<svg aria-hidden="true" class="pswp__icn" viewBox="0 0 24 24" width="24" height="24"><path d="m12 3 2.8 5.7 6.2.9-4.5 4.4 1 6.2-5.5-2.9-5.5 2.9 1-6.2L3 9.6l6.2-.9z"/></svg>';
const BAN = '<svg aria-hidden="true" class="pswp__icn" viewBox="0 0 24 24" width="24" height="24"><circle cx="12" cy="12" r="9"/><path d="m5.6 5.6 12.8 12.8"/></svg>';

/** Open `tiles` at `index`. onSlide(tile or null) says what is shown; actions.mark(name) stars or rejects it. */
export function openLightbox(tiles, index, onSlide, actions) {
  const lightbox = new PhotoSwipe({
    dataSource: tiles.map(slideOf),
    index,
    bgOpacity: 1,
    showHideAnimationType: "none",
    loop: false,
    initialZoomLevel: "fit",
    secondaryZoomLevel: 2,
    maxZoomLevel: 4,
    paddingFn: (viewport) => ({ top: 56, bottom: viewport.x > 700 ? 24 : 150, left: 16, right: viewport.x > 700 ? 320 : 16 }),
    closeTitle: "Close (Esc)",
    arrowPrevTitle: "Previous image (left arrow)",
    arrowNextTitle: "Next image (right arrow)",
    zoomTitle: "Zoom (z is undo here)",
    errorMsg: "The image could not be loaded.",
    mainClass: tiles[0]?.closest(".is-smooth") ? "is-smooth" : "is-crisp",
    trapFocus: true,
    returnFocus: true,
  });
  lightbox.on("uiRegister", () => registerParts(lightbox, tiles, actions));
  lightbox.on("change", () => onSlide(tiles[lightbox.currIndex]));
  lightbox.on("destroy", () => onSlide(null));
  lightbox.on("keydown", (event) => {
    if (event.originalEvent.key === "z") event.preventDefault(); // z is undo, not zoom
  });
  lightbox.init();
  lightbox.element.setAttribute("aria-label", "Image viewer");
  return lightbox;
}

function slideOf(tile) {
  const link = tile.querySelector("[data-open]");
  return {
    src: link.href,
    width: Number(link.dataset.width),
    height: Number(link.dataset.height),
    alt: tile.querySelector("img")?.alt ?? "",
  };
}

function registerParts(lightbox, tiles, actions) {
  lightbox.ui.registerElement({
    name: "caption",
    order: 9,
    isButton: false,
    appendTo: "root",
    onInit: (element) => keepCaption(lightbox, tiles, element),
  });
  if (!actions.mark) return;
  registerMark(lightbox, tiles, actions, { name: "starred", title: "Star (s)", html: STAR, order: 6 });
  registerMark(lightbox, tiles, actions, { name: "rejected", title: "Reject (x)", html: BAN, order: 7 });
}

function keepCaption(lightbox, tiles, element) {
  element.setAttribute("role", "status");
  lightbox.on("change", () => {
    const recipe = tiles[lightbox.currIndex].querySelector("[data-recipe]")?.cloneNode(true);
    recipe?.removeAttribute("hidden");
    element.replaceChildren(...(recipe ? [recipe] : []));
  });
}

function registerMark(lightbox, tiles, actions, { name, title, html, order }) {
  lightbox.ui.registerElement({
    name: `mark-${name}`,
    title,
    ariaLabel: title,
    order,
    isButton: true,
    html,
    onClick: () => actions.mark(name),
    onInit: (element) => {
      const show = () => {
        const tile = tiles[lightbox.currIndex];
        if (tile) element.setAttribute("aria-pressed", String(tile.dataset.mark === name));
      };
      const watcher = new MutationObserver(show);
      for (const tile of tiles) watcher.observe(tile, { attributeFilter: ["data-mark"] });
      lightbox.on("change", show);
      lightbox.on("destroy", () => watcher.disconnect());
    },
  });
}
