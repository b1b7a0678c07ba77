"""`python -m cli`, which is what `./fogline` runs."""

from cli.main import main

if __name__ == "__main__":
    main()
