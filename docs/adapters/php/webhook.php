<?php
// Webhooks of Twilio and WhatsApp, acknowledged at once: QUEUE=... php -S 127.0.0.1:8090 webhook.php
//
// A webhook only writes down what is to be stored. `adapter.php work QUEUE` stores it. Check the
// provider's signature first: see docs/adapters/webhooks.md.

declare(strict_types=1);

const KINDS = ['image', 'audio', 'video', 'document', 'sticker'];

function from_twilio(): iterable
{
    for ($nth = 0; $nth < (int) ($_POST['NumMedia'] ?? 0); $nth++) {
        $url = $_POST["MediaUrl$nth"];
        yield basename(parse_url($url, PHP_URL_PATH)) => ['twilio', $url, ''];
    }
}

function from_whatsapp(): iterable
{
    // post_max_size limits how much is read.
    $body = json_decode(file_get_contents('php://input'), true, flags: JSON_THROW_ON_ERROR);
    foreach ($body['entry'] ?? [] as $entry) {
        foreach ($entry['changes'] ?? [] as $change) {
            foreach ($change['value']['messages'] ?? [] as $message) {
                if (in_array($message['type'], KINDS, true)) {
                    $media = $message[$message['type']];
                    yield $media['id'] => ['whatsapp', $media['id'], $media['filename'] ?? ''];
                }
            }
        }
    }
}

/** Survives a restart. A notification that comes twice writes the same file. */
function write_down(string $id, array $lines): void
{
    $job = getenv('QUEUE') . '/' . preg_replace('/[^A-Za-z0-9_-]/', '', $id);
    $unfinished = $job . '.' . bin2hex(random_bytes(8)) . '.new';
    $file = fopen($unfinished, 'w');
    fwrite($file, implode("\n", str_replace("\n", ' ', $lines)));
    fsync($file);
    fclose($file);
    rename($unfinished, "$job.job");
}

$files = match (parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH)) {
    '/twilio' => from_twilio(),
    '/whatsapp' => from_whatsapp(),
    default => null,
};
if ($files === null) {
    http_response_code(404);
    exit;
}
foreach ($files as $id => $lines) {
    write_down((string) $id, $lines);
}
