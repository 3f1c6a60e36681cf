"""``python -m kurir`` is the ``kurir`` command."""

from kurir.cli.app import main

if __name__ == "__main__":
    main()
