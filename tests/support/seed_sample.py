"""The sample of the published specification, to the letter, and the same with its comments taken out."""

import json
import re
from typing import Any

#: As published: annotated with comments, which JSON does not have.
ANNOTATED = """\
{
"id": "3c0b1912-xxxx-xxxx-xxxx-xxxxxxxxxx",
"reply_id": "",
"times": 0,
"timestampt": "2023-11-10T12:38:08.153726382+07:00",
"reply_token": "",
"recipient": "628xxxxxxxx",
//Type: text/image/video/audio/button/list/location
"type": "text",
"body": {
"text": "xxx xxxx xxxxx.",
// Type image/video/audio/voice/document
"media": {
"url": "",
"name": ""
},
// Type location
"location": {
"latitude": 0,
"longitude": 0
},
// Type button
"button": [{
"key": "btn1",
"title": "Button 1"
},
{
"key": "btn2",
"title": "Button 2"
},
{
"key": "btn3",
"title": "Button 3"
}
],
// Type list
"list": {
"title": "",
"sections": [{
"title": "Section 1",
"description": "Description section 1",
"actions": [{
"key": "sec1act1",
"title": "Action 1",
"description": "Description action 1"
},
{
"key": "sec1act2",
"title": "Action 2",
"description": "Description action 2"
},
{
"key": "sec1act3",
"title": "Action 3",
"description": "Description action 3"
}
]
}]
}
},
// special type button/list
"header": {
//Type: text/image/video/document
"type": "",
"text": "",
"media_url": ""
},
// special type button/list
"footer": {
"title": "",
"text": ""
}
}
"""

#: Without the comments, and nothing else changed. No string of the sample holds two slashes.
PLAIN = re.sub(r"//.*", "", ANNOTATED)


def sample(**changes: Any) -> dict[str, Any]:
    """Return the sample parsed, with *changes* of its top level."""
    return {**json.loads(PLAIN), **changes}
