"""`python -m napari_pix2pix`, the same as `napari-pix2pix`."""

from napari_pix2pix.commands.app import main

if __name__ == "__main__":
    raise SystemExit(main())
