"""The Grafana dashboard of a served model, written with Grafana's SDK: `python -m deploy.observe.dashboard`.

Where TensorFlow Serving has a metric its name is used, so that one dashboard shows both servers. Its metrics have no
version and no stages: what needs them is asked of the embedded server's own `atelier_` metrics, and says so.
"""
