"""The transcript of one session: model (data), blocks (what a message is made of), view (virtual, own layout)."""
