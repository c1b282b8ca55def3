"""The demo: runs the experiment from a page in the browser, one image at a time."""
