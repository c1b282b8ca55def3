"""The demo: the experiment behind a page in the browser, an image at a time."""
