"""One datamodule a source of data; a file dropped into this folder is registered by being there."""
