"""The way to a control plane: HTTP + SSE, streams that stay alive, a thread for it all. No Qt."""
