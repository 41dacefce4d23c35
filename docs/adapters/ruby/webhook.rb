# Webhooks of Twilio and WhatsApp, acknowledged at once: ruby webhook.rb PORT QUEUE
#
# A webhook only writes down what is to be stored. `adapter.rb work QUEUE` stores it. Check the
# provider's signature first: see docs/adapters/webhooks.md.
require "json"
require "uri"
require "webrick" # a gem since Ruby 3.0

PORT, QUEUE = ARGV
MOST = 1024 * 1024 # bytes of a webhook's body
KINDS = %w[image audio video document sticker].freeze

def from_twilio(body)
  form = URI.decode_www_form(body).to_h
  form["NumMedia"].to_i.times do |nth|
    url = form["MediaUrl#{nth}"]
    yield URI(url).path.split("/").last, ["twilio", url, ""]
  end
end

def from_whatsapp(body)
  changes = JSON.parse(body).fetch("entry", []).flat_map { |entry| entry.fetch("changes", []) }
  messages = changes.flat_map { |change| change["value"].fetch("messages", []) }
  messages.each do |message|
    next unless KINDS.include?(message["type"])

    media = message[message["type"]]
    yield media["id"], ["whatsapp", media["id"], media["filename"].to_s]
  end
end

# Survives a restart. A notification that comes twice writes the same file.
def write_down(id, lines)
  safe = id.gsub(/[^A-Za-z0-9_-]/, "")
  unfinished = File.join(QUEUE, "#{safe}.#{rand(1 << 64)}.new")
  File.open(unfinished, "w") do |file|
    file.write(lines.map { |line| line.tr("\n", " ") }.join("\n"))
    file.fsync
  end
  File.rename(unfinished, File.join(QUEUE, "#{safe}.job"))
end

server = WEBrick::HTTPServer.new(
  BindAddress: "127.0.0.1", Port: PORT.to_i, RequestTimeout: 10, AccessLog: [],
  Logger: WEBrick::Log.new($stderr, WEBrick::Log::WARN)
)
{ "/twilio" => :from_twilio, "/whatsapp" => :from_whatsapp }.each do |path, files|
  server.mount_proc(path) do |request, response|
    raise WEBrick::HTTPStatus::RequestEntityTooLarge if request["Content-Length"].to_i > MOST

    send(files, request.body.to_s.dup.force_encoding("UTF-8")) { |id, lines| write_down(id, lines) }
    response.status = 200
  end
end
trap("TERM") { server.shutdown }
server.start
