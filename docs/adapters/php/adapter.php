<?php
// Files between a messaging provider and the gateway, in PHP 8.1 or later with its curl extension:
//
//   php adapter.php twilio-in MEDIA_URL            stores a customer's file
//   php adapter.php whatsapp-in MEDIA_ID [NAME]    stores a customer's file
//   php adapter.php whatsapp-out ASSET_ID TO       sends an agent's file, by its bytes
//   php adapter.php twilio-out ASSET_ID FROM TO    sends an agent's file, by its signed URL
//   php adapter.php work QUEUE                     stores the files that webhook.php wrote down

declare(strict_types=1);

define('GATEWAY', getenv('GATEWAY_URL'));
define('KEY', getenv('GATEWAY_KEY') ? ['Authorization: Bearer ' . getenv('GATEWAY_KEY')] : []);
define('TWILIO', getenv('TWILIO_URL') ?: 'https://api.twilio.com');
define('LOGIN', base64_encode(getenv('TWILIO_ACCOUNT_SID') . ':' . getenv('TWILIO_AUTH_TOKEN')));
const TWILIO_LOGIN = ['Authorization: Basic ' . LOGIN];
define('GRAPH', getenv('GRAPH_URL') ?: 'https://graph.facebook.com/v24.0');
define('GRAPH_TOKEN', ['Authorization: Bearer ' . getenv('WHATSAPP_TOKEN')]);
define('PHONE', getenv('WHATSAPP_PHONE_ID'));

const TIMEOUT = 60; // seconds until the next bytes arrive
const ATTEMPTS = 5;
const PAUSE = 2;
const LONGEST_PAUSE = 300; // seconds
const ABORT = 0x10000000; // CURL_READFUNC_ABORT
const LIMITS = [
    CURLOPT_CONNECTTIMEOUT => 5,
    // Less than 1000 bytes a second over a minute ends a transfer.
    CURLOPT_LOW_SPEED_LIMIT => 1000,
    CURLOPT_LOW_SPEED_TIME => TIMEOUT,
];

/** A retry doesn't help. `customer` is what to tell the customer, if anything. */
class Refused extends Exception
{
    public function __construct(string $message, public readonly ?string $customer = null)
    {
        parent::__construct($message);
    }
}

/** A retry may help after `wait` seconds. */
class Unavailable extends Exception
{
    public function __construct(string $message, public readonly int $wait = PAUSE)
    {
        parent::__construct($message);
    }
}

function store_from_twilio(string $media_url): array
{
    // Without this check, a forged webhook could send your Twilio login to any host.
    if (!str_starts_with($media_url, TWILIO . '/')) {
        throw new Refused("$media_url isn't Twilio's");
    }
    // A media URL ends with the media's SID. A message with three files has three of them.
    $key = basename(parse_url($media_url, PHP_URL_PATH));
    return with_retries(fn () => store('sms', $key, open_media($media_url, TWILIO_LOGIN)));
}

function store_from_whatsapp(string $media_id, string $name = ''): array
{
    return with_retries(function () use ($media_id, $name) {
        // The URL is valid for five minutes, so each attempt gets a new one.
        $about = open_media(GRAPH . '/' . rawurlencode($media_id), GRAPH_TOKEN);
        $url = json_decode(stream_get_contents($about['body']))->url;
        return store('whatsapp', $media_id, open_media($url, GRAPH_TOKEN), $name);
    });
}

/**
 * A response whose body is a stream. Its length is that of the file: nothing is compressed.
 *
 * It isn't a transfer of curl's, which can't be read while another one sends.
 */
function open_media(string $url, array $login, string $who = 'the provider'): array
{
    $context = stream_context_create(['http' => [
        'header' => [...$login, 'Accept-Encoding: identity'],
        'protocol_version' => 1.1,
        'timeout' => TIMEOUT,
        'ignore_errors' => true,
        // PHP would send the login along.
        'follow_location' => 0,
    ]]);
    $body = @fopen($url, 'r', false, $context);
    if (!$body) {
        throw new Unavailable("$who didn't respond: " . (error_get_last()['message'] ?? ''));
    }
    $lines = stream_get_meta_data($body)['wrapper_data'];
    $status = (int) explode(' ', $lines[0])[1];
    $headers = headers(array_slice($lines, 1));
    $response = ['status' => $status, 'headers' => $headers, 'body' => $body];
    if ($status === 200 && !isset($headers['content-length'])) {
        return spool($url, $login, $who);
    }
    if ($who === 'the gateway' || $status === 200) {
        return $response;
    }
    if ($status >= 300 && $status < 400) {
        // Twilio redirects to its storage, which must not get the login.
        return open_media($headers['location'], []);
    }
    $message = "$who responded $status: " . fread($body, 300);
    // 404: the webhook may come before the media is there.
    throw in_array($status, [404, 408, 429], true) || $status >= 500
        ? new Unavailable($message, pause($headers))
        : new Refused($message);
}

/**
 * The same by a temporary file, as only curl notices that a body without a length broke off. Its
 * end would look like the file's.
 */
function spool(string $url, array $login, string $who): array
{
    $file = tmpfile();
    $handle = curl_init($url);
    curl_setopt_array($handle, LIMITS + [
        CURLOPT_WRITEFUNCTION => fn ($handle, string $piece) => fwrite($file, $piece),
        CURLOPT_HTTPHEADER => $login,
        CURLOPT_FAILONERROR => true,
    ]);
    if (!curl_exec($handle)) {
        throw new Unavailable("$who broke off: " . curl_error($handle));
    }
    $headers = [
        'content-length' => (string) ftell($file),
        'content-type' => curl_getinfo($handle, CURLINFO_CONTENT_TYPE),
    ];
    rewind($file);
    return ['status' => 200, 'headers' => $headers, 'body' => $file];
}

/** Streams a file from the provider to the gateway. */
function store(string $channel, string $key, array $source, string $name = ''): array
{
    $size = $source['headers']['content-length'] ?? null;
    $query = http_build_query(array_filter(['channel' => $channel, 'name' => $name]));
    $response = send(GATEWAY . "/v1/assets?$query", [
        ...KEY,
        'Content-Type: ' . ($source['headers']['content-type'] ?? 'application/octet-stream'),
        // The same for each attempt, so that a file is stored once.
        "Idempotency-Key: $key",
    ], fn ($handle, $stream, int $most) => fread($source['body'], $most), $size);
    check($response);
    return json_decode($response['text'], true);
}

/** Sends the bytes to WhatsApp, then a message that names them. */
function send_to_whatsapp(string $asset, string $to): array
{
    $media = with_retries(fn () => upload_to_whatsapp($asset));
    $type = explode('/', $media['contentType'])[0];
    $type = in_array($type, ['image', 'audio', 'video'], true) ? $type : 'document';
    $content = ['id' => $media['id']] + ($type === 'document' ? ['filename' => $media['name']] : []);
    $message = ['messaging_product' => 'whatsapp', 'to' => $to, 'type' => $type, $type => $content];
    // Not repeated: a message whose response was lost may have been sent.
    $headers = [...GRAPH_TOKEN, 'Content-Type: application/json'];
    return post('WhatsApp', GRAPH . '/' . PHONE . '/messages', $headers, [json_encode($message)]);
}

function upload_to_whatsapp(string $asset): array
{
    $about = open_media(GATEWAY . "/v1/assets/$asset", KEY, 'the gateway');
    $about = ['text' => stream_get_contents($about['body'])] + $about;
    check($about);
    $about = json_decode($about['text'], true);
    $content = open_media(GATEWAY . "/v1/assets/$asset/content", KEY, 'the gateway');
    if ($content['status'] !== 200) {
        check(['text' => stream_get_contents($content['body'])] + $content);
    }
    // A form around a stream: CURLFile needs a file, and CURLStringFile the whole content.
    $boundary = bin2hex(random_bytes(16));
    $part = "--$boundary\r\nContent-Disposition: form-data; name=\"";
    $name = str_replace(['"', "\r", "\n"], ['%22', '%0D', '%0A'], $about['name']);
    $before = "{$part}messaging_product\"\r\n\r\nwhatsapp\r\n"
        . "{$part}file\"; filename=\"$name\"\r\nContent-Type: {$about['contentType']}\r\n\r\n";
    $after = "\r\n--$boundary--\r\n";
    $length = strlen($before) + (int) $content['headers']['content-length'] + strlen($after);
    $headers = [...GRAPH_TOKEN, "Content-Type: multipart/form-data; boundary=$boundary"];
    $pieces = [$before, $content['body'], $after];
    $media = post('WhatsApp', GRAPH . '/' . PHONE . '/media', $headers, $pieces, $length);
    return $media + $about;
}

/** Gives Twilio the signed URL, from which it gets the file. */
function send_to_twilio(string $asset, string $from, string $to): array
{
    $signed_url = with_retries(function () use ($asset) {
        $url = GATEWAY . "/v1/assets/$asset/content?redirect=1";
        $response = open_media($url, KEY, 'the gateway');
        if ($response['status'] !== 307) {
            check(['text' => stream_get_contents($response['body'])] + $response);
        }
        return $response['headers']['location'];
    });
    $message = http_build_query(['From' => $from, 'To' => $to, 'MediaUrl' => $signed_url]);
    $url = TWILIO . '/2010-04-01/Accounts/' . getenv('TWILIO_ACCOUNT_SID') . '/Messages.json';
    return post('Twilio', $url, TWILIO_LOGIN, [$message]);
}

/** Sends texts and streams, one after another, to a provider. */
function post(string $who, string $url, array $headers, array $pieces, ?int $length = null): array
{
    $read = function ($handle, $stream, int $most) use (&$pieces) {
        while ($pieces) {
            if (is_string($pieces[0])) {
                $piece = substr($pieces[0], 0, $most);
                $pieces[0] = substr($pieces[0], $most);
            } else {
                $piece = fread($pieces[0], $most);
            }
            if ($piece !== '' && $piece !== false) {
                return $piece;
            }
            array_shift($pieces);
        }
        return '';
    };
    $response = send($url, $headers, $read, $length ?? strlen($pieces[0]));
    if ($response['status'] < 300) {
        return json_decode($response['text'], true);
    }
    $message = "$who responded {$response['status']}: " . substr($response['text'], 0, 300);
    throw $response['status'] >= 500 ? new Unavailable($message) : new Refused($message);
}

/** Sends what a function reads; chunked if no length is known. */
function send(string $url, array $headers, callable $read, int|string|null $length): array
{
    $head = [];
    $left = (int) $length;
    $checked = function ($handle, $stream, int $most) use ($read, $length, &$left) {
        $piece = $read($handle, $stream, $most);
        $left -= strlen($piece);
        // The source broke off: end the upload at once, instead of waiting for the gateway to do so.
        return $piece === '' && $length !== null && $left > 0 ? ABORT : $piece;
    };
    $handle = curl_init($url);
    curl_setopt_array($handle, LIMITS + [
        CURLOPT_UPLOAD => true,
        CURLOPT_CUSTOMREQUEST => 'POST',
        CURLOPT_HTTPHEADER => $length === null ? [...$headers, 'Transfer-Encoding: chunked'] : $headers,
        CURLOPT_READFUNCTION => $checked,
        CURLOPT_RETURNTRANSFER => true,
        CURLOPT_HEADERFUNCTION => function ($handle, string $line) use (&$head) {
            $head[] = trim($line);
            return strlen($line);
        },
    ]);
    if ($length !== null) {
        curl_setopt($handle, CURLOPT_INFILESIZE, (int) $length);
    }
    $text = curl_exec($handle);
    if ($text === false) {
        throw new Unavailable(curl_error($handle));
    }
    $status = curl_getinfo($handle, CURLINFO_RESPONSE_CODE);
    return ['status' => $status, 'headers' => headers($head), 'text' => $text];
}

/** Stores what webhooks wrote down. A file that can't be stored now stays for the next run. */
function work(string $queue): array
{
    $done = [];
    foreach (glob("$queue/*.job") as $job) {
        [$provider, $media, $name] = explode("\n", file_get_contents($job), 3);
        try {
            $asset = $provider === 'twilio'
                ? store_from_twilio($media)
                : store_from_whatsapp($media, $name);
            $done[] = $asset['id'];
        } catch (Unavailable $error) {
            fwrite(STDERR, "$job stays: {$error->getMessage()}\n");
            continue;
        } catch (Refused $error) {
            fwrite(STDERR, "$job is refused: {$error->getMessage()}\n");
            if ($error->customer) {
                echo "tell the customer: {$error->customer}\n";
            }
        }
        unlink($job);
    }
    return $done;
}

function with_retries(callable $action): mixed
{
    for ($attempt = 1;; $attempt++) {
        try {
            return $action();
        } catch (Unavailable $error) {
            // Without a response, the file may be stored or not: its key makes a retry safe.
            if ($attempt === ATTEMPTS) {
                throw new Unavailable("gave up after $attempt attempts: {$error->getMessage()}");
            }
            $wait = $error->wait;
            fwrite(STDERR, "attempt $attempt: {$error->getMessage()}; the next in $wait s\n");
            sleep($wait);
        }
    }
}

/** Throws what the gateway's problem document says. */
function check(array $response): void
{
    if ($response['status'] < 300) {
        return;
    }
    $problem = json_decode($response['text'], true);
    if (!isset($problem['code'])) {
        // Not the gateway's, but that of a proxy in between.
        $message = "{$response['status']}: " . substr($response['text'], 0, 300);
        throw $response['status'] === 429 || $response['status'] >= 500
            ? new Unavailable($message, pause($response['headers']))
            : new Refused($message);
    }
    $message = "{$problem['code']}: {$problem['detail']} (request {$problem['requestId']})";
    throw $problem['retryable']
        ? new Unavailable($message, pause($response['headers']))
        : new Refused($message, for_customer($problem));
}

function for_customer(array $problem): ?string
{
    $size = $problem['limit']['max_size'] ?? null;
    $allowed = $problem['limit']['allowed'] ?? null;
    return match ($problem['status']) {
        413 => 'This file is too large.'
            . ($size ? ' Please send at most ' . floor($size / 100_000) / 10 . ' MB.' : ''),
        415 => "This type of file isn't accepted here."
            . ($allowed ? ' Please send one of these: ' . implode(', ', $allowed) . '.' : ''),
        default => null,
    };
}

function pause(array $headers): int
{
    $seconds = $headers['retry-after'] ?? '';
    return ctype_digit($seconds) ? min((int) $seconds, LONGEST_PAUSE) : PAUSE;
}

/** Header lines by name, in lower case. */
function headers(array $lines): array
{
    $headers = [];
    foreach ($lines as $line) {
        if (str_contains($line, ':')) {
            [$name, $value] = explode(':', $line, 2);
            $headers[strtolower($name)] = trim($value);
        }
    }
    return $headers;
}

$commands = [
    'twilio-in' => store_from_twilio(...),
    'whatsapp-in' => store_from_whatsapp(...),
    'whatsapp-out' => send_to_whatsapp(...),
    'twilio-out' => send_to_twilio(...),
    'work' => work(...),
];
try {
    echo json_encode($commands[$argv[1]](...array_slice($argv, 2)), JSON_UNESCAPED_UNICODE), "\n";
} catch (Refused|Unavailable $error) {
    if ($error instanceof Refused && $error->customer) {
        echo "tell the customer: {$error->customer}\n";
    }
    fwrite(STDERR, "$argv[1] failed: {$error->getMessage()}\n");
    exit(1);
}
