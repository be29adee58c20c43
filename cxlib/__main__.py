"""``python -m cxlib``."""

from cxlib.cli import main

if __name__ == "__main__":  # a worker process imports this module again and must not start a second run
    main()
