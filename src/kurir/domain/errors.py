"""The registry of every error that the gateway gives: one code, one page at ``/errors/{code}``.

A code is stable. ``status`` is the HTTP status where the error answers a request, else None. Platform codes that map to a
code are collected from the channels' own tables by the page.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class ErrorEntry:
    """One kind of error: what happened, why, and what to do about it."""

    code: str
    title: str
    cause: str
    fix: str
    status: int | None = None
    retryable: bool = False


def _registry(*entries: ErrorEntry) -> dict[str, ErrorEntry]:
    return {entry.code: entry for entry in entries}


ERRORS: Final = _registry(
    # --- answers to a request -----------------------------------------------------------------------------------------
    ErrorEntry(
        "not_found",
        "There is nothing at this path",
        "The path or the method's target does not exist.",
        "Compare the path with /docs. A send goes to POST /{channel}/send/{clientID}.",
        404,
    ),
    ErrorEntry(
        "unknown_channel",
        "Unknown channel",
        "The first word of the path names no channel.",
        "Use whatsapp, telegram, line or messenger (facebook is an alias of messenger).",
        404,
    ),
    ErrorEntry(
        "method_not_allowed",
        "This path does not take this method",
        "The path exists, but not for the method used.",
        "Use a method that the header Allow names.",
        405,
    ),
    ErrorEntry(
        "unauthorized",
        "The credentials are missing or wrong",
        "Auth-username and Auth-password (or HTTP Basic) do not belong to a client, or came more than once. Under /v1/admin: "
        "the administrator's token is missing or wrong, or none is configured.",
        "Send both headers once each, with the values of the client's configuration. Under /v1/admin send Authorization: "
        "Bearer with the admin_token of the configuration.",
        401,
    ),
    ErrorEntry(
        "forbidden",
        "These credentials may not use this client",
        "The clientID in the path is not the one that the credentials belong to.",
        "Use your own clientID in the path.",
        403,
    ),
    ErrorEntry(
        "not_allowed",
        "Your role does not allow this",
        "A user of the console does what the role allows: a viewer looks, a client's user sees that client alone.",
        "Ask an owner of the console to do it, or for another role (Users).",
        403,
    ),
    ErrorEntry(
        "foreign_page",
        "This request does not come from the console",
        "A change in the console is taken from the console's own pages only, as the browser tells (Sec-Fetch-Site, Origin).",
        "Open the page anew and press the button there. Programs use the API.",
        403,
    ),
    ErrorEntry(
        "last_owner",
        "Nobody would be left who may do everything",
        "The user is the last owner of the console that may look.",
        "Make another user an owner first.",
        409,
    ),
    ErrorEntry(
        "too_large",
        "The request body is too large",
        "A request may have at most 256 KiB.",
        "Send media by URL, never inline; split the work into several requests.",
        413,
    ),
    ErrorEntry(
        "unsupported_media_type",
        "The request body is not JSON",
        "Content-Type names something other than JSON or text/plain, or a charset other than UTF-8.",
        "Send Content-Type: application/json, UTF-8.",
        415,
    ),
    ErrorEntry(
        "invalid_json",
        "The body is not valid JSON",
        "The body does not parse as JSON, or holds NaN, an infinite number, a lone surrogate or a NUL character.",
        "The detail names the place. Check the body with any JSON tool.",
        400,
    ),
    ErrorEntry(
        "malformed_request",
        "This is no HTTP request",
        "What came over the connection cannot be read as HTTP/1.1, or its head is too large.",
        "Use an HTTP library; the detail says what is wrong.",
        400,
    ),
    ErrorEntry(
        "json_comments",
        "The body still has // comments",
        "The published sample is annotated with comments, which JSON does not have.",
        "Remove the comment at the line and column that the detail names, and every other one.",
        400,
    ),
    ErrorEntry(
        "not_utf8",
        "The body is not UTF-8",
        "JSON is exchanged in UTF-8 (RFC 8259, section 8.1).",
        "Encode the body as UTF-8.",
        400,
    ),
    ErrorEntry(
        "too_deep",
        "The body is nested too deep",
        "Objects and lists are nested deeper than any message needs.",
        "Send the body of the reference.",
        400,
    ),
    ErrorEntry(
        "invalid_message",
        "The message has invalid fields",
        "One or more fields are missing, of another type, or beyond a limit of the channel.",
        "Each item of errors[] points at one field and says what it needs.",
        422,
    ),
    ErrorEntry(
        "invalid_parameters",
        "The request has invalid parameters",
        "A query parameter or a field of the request is missing, of another type, or out of range.",
        "Each item of errors[] names one and says what it needs.",
        422,
    ),
    ErrorEntry(
        "id_reused",
        "This id was used for another message",
        "(clientID, channel, id) is the idempotency key, and the first message with it had other content.",
        "Use a new id for a new message; repeat the very same content to repeat a request.",
        409,
    ),
    ErrorEntry(
        "already_ended",
        "The message has ended or was sent",
        "A message can be cancelled only while it waits; this one was sent, or has failed, expired or been cancelled.",
        "Nothing to do; the detail has the status.",
        409,
    ),
    ErrorEntry(
        "already_partly_sent",
        "A part of the message was sent, or may have been",
        "A message can be cancelled while nothing of it may have left: not called yet, or refused for certain each time (a "
        "stopped account, a rate limit). What a platform has, or may have, cannot be taken back.",
        "Wait for its end; the rest of its parts follows.",
        409,
    ),
    ErrorEntry(
        "not_failed",
        "The message did not fail",
        "Only a message with the status -1, -2 or -3 is retried; this one waits, or was sent.",
        "Nothing to do; the detail has the status. To send the content once more, send it with a new id.",
        409,
    ),
    ErrorEntry(
        "person_in_use",
        "A message to this person is being sent",
        "A person is erased when no message to them has begun: of one that has, nobody knows yet what has left.",
        "Ask again after Retry-After; the message ends at its expires_at at the latest.",
        409,
        retryable=True,
    ),
    ErrorEntry(
        "account_not_enabled",
        "The account is not enabled",
        "The account, or its client, is no longer in the configuration, or is switched off: it sends nothing anyhow.",
        "Enable it, or put it back into the configuration file and restart, then pause or resume it.",
        409,
    ),
    ErrorEntry(
        "configured_in_file",
        "The configuration file has it",
        "This client or account stands in the configuration file, which takes precedence at every start: so it is changed "
        "there alone.",
        "Change the file and restart, or take it out of the file, restart, and enable it by the API. An account of the file "
        "can be paused and resumed without.",
        409,
    ),
    ErrorEntry(
        "templates_not_synced",
        "The templates could not be read",
        "The platform did not answer, or refused to tell the account's templates. What was known before still holds.",
        "Follow the detail: often waba_id is missing, or the token lacks whatsapp_business_management. Then sync again.",
        502,
        True,
    ),
    ErrorEntry(
        "rate_limited_here",
        "Too many requests",
        "Too many requests, or failed logins, from this client in a short time.",
        "Wait as long as Retry-After says.",
        429,
        True,
    ),
    ErrorEntry(
        "queue_full",
        "Too many messages wait",
        "As many messages of this client wait to be sent as the operator lets wait (client_queue). Nothing was kept.",
        "Repeat the same request after Retry-After. Where it lasts: see which accounts do not send, cancel what is not "
        "needed any more, or let the operator raise client_queue.",
        429,
        True,
    ),
    ErrorEntry(
        "not_durable",
        "The message could not be made durable",
        "The store did not take the message: the disk is full, read-only, or the database is out of reach. Nothing was "
        "kept, unless PostgreSQL failed in the very moment of the commit: then nobody knows.",
        "Repeat the same request after Retry-After; the same id makes that safe. The operator sees the cause in the log.",
        503,
        True,
    ),
    ErrorEntry(
        "overloaded",
        "The gateway is busy",
        "More work is waiting than may wait.",
        "Repeat the same request after Retry-After.",
        503,
        True,
    ),
    ErrorEntry(
        "internal",
        "Something went wrong in the gateway",
        "A fault of the gateway itself. It is logged with the request's id.",
        "Repeat the request; the same id makes that safe. Report the request id if it stays.",
        500,
        True,
    ),
    # --- items of a 422 -----------------------------------------------------------------------------------------------
    ErrorEntry("missing", "A mandatory field is missing", "The field is absent or null.", "Add it.", 422),
    ErrorEntry("blank", "A field is blank", "The field holds nothing but white space.", "Fill it in.", 422),
    ErrorEntry("wrong_type", "A field has the wrong type", "Another JSON type is needed.", "See the detail.", 422),
    ErrorEntry("out_of_range", "A number is out of range", "The detail names the range.", "Stay within it.", 422),
    ErrorEntry("too_long", "A field is too long", "The detail names the limit and its unit.", "Shorten it.", 422),
    ErrorEntry("too_many", "Too many items", "The detail names the limit.", "Send fewer, or several messages.", 422),
    ErrorEntry(
        "more_problems",
        "There is more than is listed",
        "So many items have a problem that the rest was not looked at, or is not listed.",
        "Mend what is listed, and send the request again.",
        422,
    ),
    ErrorEntry("too_few", "Too few items", "At least one is needed.", "Add one.", 422),
    ErrorEntry(
        "unsupported_value", "A field has an unknown value", "The detail names the values there are.", "Use one.", 422
    ),
    ErrorEntry(
        "already_taken",
        "Another one has this value",
        "An id and a user name belong to one only.",
        "Choose another one, or change the one that has it.",
        422,
    ),
    ErrorEntry("invalid_format", "A field has the wrong form", "The detail shows the form.", "Follow it.", 422),
    ErrorEntry(
        "invalid_recipient",
        "The recipient cannot be read",
        "It is neither a phone number nor an address of this channel.",
        "Give a phone with its country code, or an explicit address such as tg:1001, line:U…, fb:…, wa:….",
        422,
    ),
    ErrorEntry(
        "unsupported_scheme", "The URL cannot be fetched", "Media are fetched by http or https.", "Use https.", 422
    ),
    ErrorEntry("https_required", "The URL must be https", "LINE takes media by https only.", "Use https.", 422),
    ErrorEntry(
        "media_type_unsupported",
        "The channel does not take this kind of file",
        "The file's type, told by its URL, is not among those that the channel shows.",
        "Convert the file to a type that the detail names, or send it as a document.",
        422,
    ),
    ErrorEntry(
        "no_words",
        "The message has no words",
        "A button message needs words in body.text or a text header; a list may have them in list.title too.",
        "Fill in body.text.",
        422,
    ),
    ErrorEntry(
        "unsupported_type",
        "The channel does not have this type",
        "The detail says which types it has, and what is not there yet.",
        "Use another type or another channel.",
        422,
    ),
    ErrorEntry(
        "unknown_account",
        "The client has no such account",
        "The client has no account on this channel, or none with the id given.",
        "Leave account out to use the default, or use the id of an enabled account of this channel.",
        422,
    ),
    ErrorEntry(
        "would_lose",
        "The message would lose something on this channel",
        "strict was set, and the channel cannot show the message as it stands.",
        "Change the field that the pointer names, or leave strict out.",
        422,
    ),
    # --- why a message waits ------------------------------------------------------------------------------------------
    ErrorEntry("queued", "Queued", "The message waits for its turn.", "Nothing to do."),
    ErrorEntry(
        "waiting_for_lane",
        "Others to the same recipient go first",
        "Messages of one account to one recipient are sent in order, and some are before this one.",
        "See why the first of them waits; the detail names it. To let this one go on, cancel those before it.",
    ),
    ErrorEntry(
        "sending",
        "It is being sent",
        "A call with it is under way, and the platform's answer has not come yet.",
        "Nothing to do.",
    ),
    ErrorEntry(
        "account_paused",
        "The operator paused the account",
        "Somebody with the administrator's token paused the account. Messages are accepted, and wait.",
        "Resume it: kurir account resume, or POST /v1/admin/accounts/{id}/resume.",
    ),
    ErrorEntry(
        "account_disabled",
        "The account is not enabled",
        "The message's account, or its client, is no longer in the configuration, or is switched off.",
        "Put the account back into the configuration, or the message expires.",
    ),
    ErrorEntry("scheduled", "Scheduled", "The message waits for its send_at.", "Nothing to do."),
    ErrorEntry(
        "awaiting_receipt",
        "Accepted, waiting for the platform's receipt",
        "WhatsApp's answer only means accepted; its receipt makes the message sent.",
        "If none ever comes: is the webhook connected?",
    ),
    ErrorEntry(
        "rate_limited",
        "The platform asks to slow down",
        "A rate limit of the platform was reached.",
        "Nothing to do: the gateway waits as long as the platform says.",
        retryable=True,
    ),
    ErrorEntry(
        "platform_unavailable",
        "The platform has a fault",
        "The platform answered that it cannot work right now.",
        "Nothing to do: the gateway tries again.",
        retryable=True,
    ),
    ErrorEntry(
        "not_reached",
        "The platform was not reached",
        "The connection failed before anything was sent (name, connection, TLS).",
        "Nothing to do for the message: the gateway tries again. Check the network and api_base if it stays.",
        retryable=True,
    ),
    ErrorEntry(
        "no_answer",
        "The platform's answer never came",
        "The request left, and no readable answer came back: it may or may not have been sent.",
        "See the account's unknown_outcome: resend tries again (maybe twice), hold keeps it back (maybe never).",
    ),
    ErrorEntry(
        "ambiguous_error",
        "The platform's error does not say whether it sent",
        "The platform answered with an error that it also gives for messages that went out.",
        "See the account's unknown_outcome.",
    ),
    # --- account failures: the account is parked, its messages wait -----------------------------------------------------
    ErrorEntry(
        "account_credentials",
        "The platform refuses the account's credentials",
        "The token is missing, expired, revoked or not of this sender.",
        "Put a valid token into the account: in the console, by PATCH /v1/admin/accounts/{id}, or in "
        "the configuration and restart where it stands there. The messages wait.",
    ),
    ErrorEntry(
        "account_permission",
        "The account lacks a permission",
        "The platform's app or token may not do this.",
        "Grant the permission that the reason names.",
    ),
    ErrorEntry(
        "account_payment",
        "The account has a payment problem",
        "The platform refuses to send until its billing is settled.",
        "Settle the billing with the platform.",
    ),
    ErrorEntry(
        "account_policy",
        "The platform restricted the account",
        "The account broke, or is said to have broken, a policy of the platform.",
        "See the platform's own console for the reason and the appeal.",
    ),
    ErrorEntry(
        "account_quota",
        "The account's quota is used up",
        "The platform's monthly quota of this account is used up.",
        "Buy more, or wait for the month's end; the messages wait.",
    ),
    ErrorEntry(
        "account_setup",
        "The account is not set up",
        "The sender does not exist, is not registered, or is not the one of this token.",
        "Compare the ids of the configuration with the platform's console.",
    ),
    # --- why a message ended -------------------------------------------------------------------------------------------
    ErrorEntry(
        "expired",
        "The message expired",
        "It could not be sent within expires_in, or within the client's max_age.",
        "Send it again if it still matters.",
    ),
    ErrorEntry("cancelled", "The message was cancelled", "The client cancelled it.", "Nothing to do."),
    ErrorEntry(
        "recipient_not_linked",
        "This phone has no address on this channel",
        "Telegram, LINE and Messenger cannot be addressed by phone: the person has to write first, and their phone has to "
        "be linked.",
        "Link them: PUT /v1/contacts/{channel}/{address} with the phone; or send to the explicit address.",
    ),
    ErrorEntry(
        "recipient_ambiguous",
        "The digits may be a phone or a chat id",
        "This account has heard from a chat with these digits, and a phone with the same digits is linked.",
        "Use an explicit form; the detail names both.",
    ),
    ErrorEntry(
        "recipient_unreachable",
        "The recipient cannot be reached on this channel",
        "The platform does not deliver to this person now: not on the channel, an old app, or the account closed.",
        "Use another channel for this person.",
    ),
    ErrorEntry(
        "recipient_unknown",
        "The platform does not know this recipient",
        "The address does not exist, or is not one of this account's.",
        "Check the address: page-scoped and user ids belong to one account only.",
    ),
    ErrorEntry(
        "recipient_blocked",
        "The recipient blocked the account",
        "The person, or their settings, refuse messages of this account.",
        "Nothing can be sent until the person unblocks it.",
    ),
    ErrorEntry(
        "recipient_refused",
        "Not allowed to send to this recipient",
        "The platform refuses this pair of sender and recipient: rights in a group, country, opt-out, an experiment.",
        "See the reason.",
    ),
    ErrorEntry(
        "window_closed",
        "The conversation window is closed",
        "More than 24 hours passed since the person's last message; only a template may be sent now.",
        "Send a template, or wait until the person writes.",
    ),
    ErrorEntry(
        "thread_control",
        "Another app controls the conversation",
        "The page handed this conversation to another app.",
        "Take the thread back in the page's settings.",
    ),
    ErrorEntry(
        "content_refused",
        "The platform refused the content",
        "A field of the message is not what the platform takes.",
        "See the reason, which has the platform's own words.",
    ),
    ErrorEntry(
        "media_gone",
        "The file that came in cannot be had any more",
        "The platform does not give the file: it keeps files for days at most, its sender may have taken it back, or the "
        "account's credentials are not good any more.",
        "Fetch files when their callback comes, and keep what you need.",
        410,
    ),
    ErrorEntry(
        "media_unavailable",
        "The file that came in cannot be fetched now",
        "The platform did not answer, or answered that it is in trouble.",
        "Try the same link again later; it says when it ends.",
        502,
    ),
    ErrorEntry(
        "media_refused",
        "The platform refused the file",
        "The platform could not fetch the file, or does not take its type or size.",
        "Check that the URL is public and answers fast, and the type and size against the channel's limits.",
    ),
    ErrorEntry(
        "template_refused",
        "The template cannot be sent",
        "It does not exist in this language, is not approved or paused, or its parameters do not match.",
        "Compare with what the detail says the template wants, and sync the templates when they have changed.",
    ),
    ErrorEntry(
        "attempts_exhausted",
        "Every allowed attempt failed",
        "The platform could not be used for as long as the message was allowed to wait.",
        "Retry the message when the platform works again.",
        retryable=True,
    ),
    ErrorEntry(
        "outcome_unknown",
        "Nobody knows whether it was sent",
        "The request left, no readable answer came, and the account's policy is to hold; or it was sent three times, and each "
        "time no readable answer came.",
        "Ask the person, or retry the message and accept that it may come twice.",
    ),
    ErrorEntry(
        "delivery_failed",
        "The platform could not deliver",
        "The platform took the message and reported later that it did not arrive.",
        "See the reason, which has the platform's own words.",
    ),
    ErrorEntry(
        "no_receipt",
        "No receipt came",
        "WhatsApp accepted the message, and no receipt came within 30 days.",
        "Check that the webhook is connected.",
    ),
)


def entry(code: str) -> ErrorEntry:
    """Return the registry's entry of *code*. Raises KeyError for a code that is not in the registry."""
    return ERRORS[code]
