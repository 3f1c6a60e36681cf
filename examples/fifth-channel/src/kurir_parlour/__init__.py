"""An example of a channel that another package brings: ``channel`` is the :class:`kurir.channels.base.Channel`.

Parlour does not exist. Its API is made up, and as small as one can be that still sends text, files, buttons and places,
tells of delivery, and posts what people answer. The API is described in the README of this example.
"""
