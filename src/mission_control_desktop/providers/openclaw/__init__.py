"""OpenClaw gateways: one WebSocket with JSON RPC and events per gateway (wire protocol 4)."""
