<?php
// PHP's libraries: see tests/clients/run.
[, $library, $how, $url, $file, $name, $count] = $argv;
$raw = $url . '?' . http_build_query(['channel' => 'sms', 'name' => $name], '', '&', PHP_QUERY_RFC3986);

function with_guzzle(): Closure
{
    global $how, $url, $raw, $file, $name;
    require_once 'GuzzleHttp/autoload.php';
    $client = new GuzzleHttp\Client(['http_errors' => false]);
    return function () use ($client, $how, $url, $raw, $file, $name): string {
        $parts = [['name' => 'channel', 'contents' => 'sms'], ['name' => 'file', 'contents' => fopen($file, 'r'), 'filename' => $name]];
        $sent = $how === 'form'
            ? $client->post($url, ['multipart' => $parts])
            : $client->post($raw, ['body' => fopen($file, 'r'), 'headers' => ['Content-Type' => 'application/octet-stream']]);
        return (string) $sent->getBody();
    };
}

function with_curl(): Closure
{
    global $how, $url, $raw, $file, $name;
    $handle = curl_init();
    return function () use ($handle, $how, $url, $raw, $file, $name): string {
        $form = ['channel' => 'sms', 'file' => new CURLFile($file, null, $name)];
        curl_setopt_array($handle, [
            CURLOPT_URL => $how === 'form' ? $url : $raw,
            CURLOPT_RETURNTRANSFER => true,
            CURLOPT_POSTFIELDS => $how === 'form' ? $form : file_get_contents($file),
        ]);
        return curl_exec($handle);
    };
}

$upload = $library === 'guzzle' ? with_guzzle() : with_curl();
for ($round = 0; $round < (int) $count; $round++) {
    $began = hrtime(true);
    $answer = $upload();
    printf("%.1f %s\n", (hrtime(true) - $began) / 1e6, json_encode(json_decode($answer), JSON_UNESCAPED_UNICODE));
}
