"""A server that speaks OpenAI's protocol, as a side: `http(s)://host[:port]/v1#model`.

    options.py      what a person says besides
    address.py      what a person writes → where to ask, and the key for there
    client.py       one question over HTTP: limits, retries, and what cannot get better
    refusals.py     what a server says in place of an answer
    server.py       which models it has, and what it says about them
    bodies.py       a row → what is sent
    replies.py      what came back → an answer
    kept.py         answers kept, so that a broken run goes on
    seen.py         what a reader has to know of the answers
    spending.py     dollars
    side.py         all of it as a `Side`

Whoever compares needs `open_endpoint` alone.
"""

from eval.sides.endpoint.options import Settings as Settings
from eval.sides.endpoint.side import Endpoint as Endpoint
from eval.sides.endpoint.side import open_endpoint as open_endpoint
from eval.sides.endpoint.spending import Price as Price
