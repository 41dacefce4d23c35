# Ruby's libraries: see tests/clients/run.
require "json"
require "uri"

LIBRARY, HOW, URL, FILE, NAME, COUNT = ARGV
RAW = "#{URL}?#{URI.encode_www_form(channel: 'sms', name: NAME)}"
TYPE = { "Content-Type" => "application/octet-stream" }.freeze

def net_http
  require "net/http"
  url = URI(HOW == "form" ? URL : RAW)
  http = Net::HTTP.start(url.host, url.port)
  lambda do
    request = Net::HTTP::Post.new(url)
    if HOW == "form"
      request.set_form([["channel", "sms"], ["file", File.open(FILE, "rb"), { filename: NAME }]], "multipart/form-data")
    else
      request.body = File.binread(FILE)
      request["Content-Type"] = TYPE["Content-Type"]
    end
    http.request(request).body
  end
end

def httpclient
  require "httpclient"
  client = HTTPClient.new
  lambda do
    File.open(FILE, "rb") do |file|
      next client.post(RAW, file.read, TYPE).body unless HOW == "form"

      part = { "Content-Disposition" => %(form-data; name="file"; filename="#{NAME}"), :content => file }
      client.post(URL, [{ "Content-Disposition" => 'form-data; name="channel"', :content => "sms" }, part],
                  "Content-Type" => "multipart/form-data").body
    end
  end
end

def faraday
  require "faraday"
  client = Faraday.new { |builder| builder.request(:multipart) && builder.adapter(:net_http) }
  lambda do
    next client.post(RAW, File.binread(FILE), TYPE).body unless HOW == "form"

    client.post(URL, { "channel" => "sms", "file" => Faraday::UploadIO.new(FILE, "application/octet-stream", NAME) }).body
  end
end

def http_rb
  require "http"
  uri = URI(URL)
  client = HTTP.persistent("#{uri.scheme}://#{uri.host}:#{uri.port}")
  lambda do
    next client.post(RAW, body: File.binread(FILE), headers: TYPE).to_s unless HOW == "form"

    client.post(URL, form: { channel: "sms", file: HTTP::FormData::File.new(FILE, filename: NAME) }).to_s
  end
end

upload = send(LIBRARY.tr("-", "_"))
COUNT.to_i.times do
  began = Process.clock_gettime(Process::CLOCK_MONOTONIC)
  answer = upload.call
  took = (Process.clock_gettime(Process::CLOCK_MONOTONIC) - began) * 1000
  puts format("%.1f %s", took, JSON.generate(JSON.parse(answer.dup.force_encoding("UTF-8"))))
end
