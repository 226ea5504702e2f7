// What ipywidgets leave out: a file may be dropped; one that is too large for the connection stays
// where it is, and a stand-in tells its size; radio buttons follow the arrow keys; pictures have a
// description; whoever paints sees the picture, and whoever saved it may download it.
(() => {
  if (window.nstPage) return; // the cell was run again
  window.nstPage = true;
  const inputs = new WeakMap(); // from the button of an upload to its input
  const descriptions = { preview: "your photograph", picture: "the painted picture" };
  const all = (selector) => document.querySelectorAll(`.studio-page ${selector}`);

  function listOf(file) {
    const transfer = new DataTransfer();
    transfer.items.add(file);
    return transfer.files;
  }

  // ipywidgets keep the input of an upload out of the page: take it from the button, which clicks it
  function inputOf(button) {
    const { click } = HTMLInputElement.prototype;
    let input;
    HTMLInputElement.prototype.click = function () {
      input = this;
    };
    button.click();
    HTMLInputElement.prototype.click = click;
    return input;
  }

  function prepareUpload(button) {
    if (button.lastChild.data?.endsWith(" (0)")) {
      button.lastChild.data = button.lastChild.data.slice(0, -4); // a count of files: none is kept
    }
    if (inputs.has(button)) return;
    const input = inputOf(button);
    inputs.set(button, input);
    const refuse = () => {
      const [file] = input.files;
      if (file.size > LIMIT) {
        input.files = listOf(new File([file.size], file.name, { type: TOO_LARGE }));
      }
    };
    input.addEventListener("change", refuse, true); // before ipywidgets read it
  }

  function prepareChoice(group) {
    group.dataset.name ??= `studio-${Math.random()}`;
    group.setAttribute("role", "radiogroup");
    group.setAttribute("aria-label", group.querySelector(".widget-label").textContent);
    group.querySelectorAll("input").forEach((radio) => (radio.name = group.dataset.name));
  }

  new MutationObserver(() => {
    all(".widget-upload").forEach(prepareUpload);
    all(".widget-radio").forEach(prepareChoice);
    for (const [name, text] of Object.entries(descriptions)) {
      all(`img.studio-${name}`).forEach((image) => (image.alt = text));
    }
  }).observe(document.body, { childList: true, subtree: true });

  function zoneOf(event) {
    const page = event.target.closest?.(".studio-page");
    return event.target.closest?.(".studio-zone") ?? page?.querySelector(".studio-zone");
  }

  function mark(zone) {
    all(".studio-over").forEach((other) => other.classList.remove("studio-over"));
    zone?.classList.add("studio-over");
  }

  function droppedFile(transfer) {
    const [item] = transfer.items;
    if (item?.kind !== "file" || item.webkitGetAsEntry()?.isDirectory) {
      return new File([], "", { type: NO_FILE });
    }
    return item.getAsFile();
  }

  document.addEventListener("dragover", (event) => {
    mark(zoneOf(event));
    if (zoneOf(event)) event.preventDefault();
  });
  document.addEventListener("dragleave", () => mark(null));
  document.addEventListener("drop", (event) => {
    mark(null);
    const button = zoneOf(event)?.querySelector(".widget-upload");
    if (!button) return;
    event.preventDefault(); // or the browser would leave the page and show the file
    inputs.get(button).files = listOf(droppedFile(event.dataTransfer));
    inputs.get(button).dispatchEvent(new Event("change"));
  });

  const follow = (event) => {
    const page = event.target.closest?.(".studio-page");
    if (event.target.closest?.(".studio-paint")) {
      const show = () => page.querySelector(".studio-actions").scrollIntoView();
      page.querySelector(".studio-picture").addEventListener("load", show, { once: true });
    }
    if (event.target.matches?.(".studio-download")) {
      event.target.href = page.querySelector("img.studio-file").src;
    }
  };
  document.addEventListener("click", follow, true);
})();
