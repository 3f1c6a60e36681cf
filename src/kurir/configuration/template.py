"""The commented configuration file that ``kurir config init`` writes, and the secrets that it makes for it.

The file holds no secret: each is named by its variable. It is right as it stands once the variables of the first client
are set; what is commented out is right too once it is uncommented and its variables are set (tests hold both).
"""

import base64
import secrets
from typing import Final

from kurir.auth import generate_password

_SECRET_BYTES: Final = 32

TEMPLATE: Final = """\
# The configuration of kurir. Check it with: kurir config check
# Every key is explained in the reference: docs/reference/configuration.md
#
# The keys up to the first [clients.…] are also variables and flags: listen is KURIR_LISTEN and --listen. A flag wins
# over a variable, a variable over this file. Secrets have no flag.
#
# A secret is a string, the name of a variable { env = "NAME" }, or a file { file = "path" }. Paths are relative to this
# file. Durations: "90s", "15m", "24h", "90d".

# The address that the server listens on. Put a proxy with TLS before it.
listen = "127.0.0.1:8080"

# The database: one file (SQLite), or PostgreSQL, such as postgresql://kurir:password@db.example.com/kurir for many
# processes on many machines. A URL with a password is better kept in the variable KURIR_DATABASE.
database = "kurir.db"

# With PostgreSQL only: connections of a process, at most; what it does (all, api, worker); and how many processes of this
# node share the port and the work.
# database_connections = 10
# role = "all"
# processes = 1

# What WhatsApp, Telegram, LINE and Messenger call, without /webhooks. A path prefix is allowed. Without it, no webhook
# address is known but on this machine.
# public_url = "https://chat.example.com"

# Encrypts platform tokens at rest: 32 random bytes as base64 or hex. The file is made when it is absent and the
# database is new. Back it up apart from the database. To rotate: put a new key in the first line, keep the old one
# below it, and restart.
encryption_key = { file = "kurir.key" }

# The bearer token of the administrator's API, at least 16 characters. Without it that API is closed.
# admin_token = { env = "KURIR_ADMIN_TOKEN" }

# The bearer token that /metrics takes, so that what watches kurir need not be able to change it; else it takes admin_token.
# metrics_token = { env = "KURIR_METRICS_TOKEN" }

# Where traces of OpenTelemetry go; it wants the extra kurir[otel].
# traces_to = "http://127.0.0.1:4318/v1/traces"

# Networks that media and callback URLs may reach although they are private, such as ["10.1.0.0/16"]. Link-local and
# metadata addresses are never reached.
allow_networks = []

# How many requests each client may make, and how many of its messages may wait to be sent.
# client_rate = "100/s"
# client_queue = 100000

# How long finished messages, their attempts and events are kept.
retention = "90d"

# Whether the console finds messages by their words: what they say is personal data.
search_text = true

# How much disk the files may take that came in and are kept (inbound_media below).
# inbound_media_space = "20GB"
# label = "staging"                       # shown in the console
# mask = true                             # the console hides phones and texts until revealed


# One table for each client: a system that sends through kurir. Its id stands in the path: POST /telegram/send/acme
[clients.acme]
# What the client sends as Auth-username and Auth-password.
username = "acme"
password = { env = "ACME_PASSWORD" }

# The country of phone numbers that begin with 0 (two letters).
# default_region = "ID"

# How long a message may wait to be sent before it expires.
max_age = "24h"

# Where the client's requests may come from; without it from anywhere.
# allow_from = ["203.0.113.0/24"]

# Where the client hears of statuses and received messages. dialect: "compat" has the shapes that existing clients
# parse, "standard" one envelope for every kind of event. events: ["*"], or names such as "message.status". headers are
# sent along, such as an API key.
# [[clients.acme.callbacks]]
# url = "https://crm.example.com/hook"
# dialect = "compat"
# secret = { env = "ACME_CALLBACK_SECRET" }
# events = ["*"]
# headers = {}

# The client's senders. Each takes, beside what its channel needs:
#   id               stands in webhook addresses: lower case, never a phone number
#   default          true for the account that sends what names none; else the first of its channel does
#   concurrency      how many calls to the platform may be under way at once
#   unknown_outcome  "resend" (perhaps twice) or "hold" (perhaps never) when nobody knows whether a call was carried out
#   unknown_wait     how long proof is waited for before that is done
#   retry            how a refused call is tried again: { attempts = 15, first = "1s", longest = "5m" }
#   rate             limits by name: { account = "80/s", recipient = "1/6s burst 45" }, "none" switches one off
#   inbound_media    "stream" fetches a file that came in when its link is opened, "keep" at once, and keeps it
#   api_base         where the platform's API is

# [[clients.acme.accounts]]
# id = "acme-wa"
# channel = "whatsapp"
# phone_number_id = "100000000000000"              # the id of the number, not the number
# access_token = { env = "ACME_WA_TOKEN" }
# app_secret = { env = "ACME_META_APP_SECRET" }
# verify_token = { env = "ACME_META_VERIFY_TOKEN" }  # a word of your choice, repeated by Meta
# waba_id = ""
# app_id = ""
# api_version = "v26.0"
# api_base = "https://graph.facebook.com"
# default = true
# concurrency = 20
# unknown_outcome = "resend"
# unknown_wait = "90s"
# rate = { account = "80/s", recipient = "1/6s burst 45" }

# [[clients.acme.accounts]]
# id = "acme-tg"
# channel = "telegram"
# token = { env = "ACME_TG_TOKEN" }                # from @BotFather
# secret_token = { env = "ACME_TG_SECRET" }        # letters, digits, _ and -; repeated by Telegram
# receive = "webhook"
# api_base = "https://api.telegram.org"
# rate = { group = "20/60s" }

# [[clients.acme.accounts]]
# id = "acme-line"
# channel = "line"
# channel_access_token = { env = "ACME_LINE_TOKEN" }
# channel_secret = { env = "ACME_LINE_SECRET" }
# use_reply_tokens = true                          # free replies before paid pushes
# default_preview_image_url = ""                   # for videos, which LINE shows with a picture
# default_audio_duration = "60s"                   # for audio of unknown length
# api_base = "https://api.line.me"
# data_api_base = "https://api-data.line.me"

# [[clients.acme.accounts]]
# id = "acme-fb"
# channel = "messenger"
# page_id = "100000000000000"
# page_access_token = { env = "ACME_FB_TOKEN" }
# app_secret = { env = "ACME_META_APP_SECRET" }
# verify_token = { env = "ACME_META_VERIFY_TOKEN" }
# app_id = ""
# human_agent = false                              # only if Meta granted HUMAN_AGENT
# api_version = "v26.0"
# api_base = "https://graph.facebook.com"
"""


def new_secrets() -> dict[str, str]:
    """Return a new value for each variable of the template that kurir can make: variable → secret."""
    return {
        "ACME_PASSWORD": generate_password(),
        "ACME_CALLBACK_SECRET": "whsec_" + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode(),
        "KURIR_ADMIN_TOKEN": "kurir_admin_" + secrets.token_urlsafe(_SECRET_BYTES),
    }
