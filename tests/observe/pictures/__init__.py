"""Pictures of the dashboards: their files drawn by Grafana's own React components, in a real browser."""
