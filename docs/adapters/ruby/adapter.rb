# Files between a messaging provider and the gateway, in Ruby 3.0 or later, without gems:
#
#   ruby adapter.rb twilio-in MEDIA_URL            stores a customer's file
#   ruby adapter.rb whatsapp-in MEDIA_ID [NAME]    stores a customer's file
#   ruby adapter.rb whatsapp-out ASSET_ID TO       sends an agent's file, by its bytes
#   ruby adapter.rb twilio-out ASSET_ID FROM TO    sends an agent's file, by its signed URL
#   ruby adapter.rb work QUEUE                     stores the files that webhook.rb wrote down
require "json"
require "net/http"
require "securerandom"

GATEWAY = ENV.fetch("GATEWAY_URL")
KEY = ENV["GATEWAY_KEY"] ? { "Authorization" => "Bearer #{ENV["GATEWAY_KEY"]}" } : {}
TWILIO = ENV.fetch("TWILIO_URL", "https://api.twilio.com")
LOGIN = ["#{ENV["TWILIO_ACCOUNT_SID"]}:#{ENV["TWILIO_AUTH_TOKEN"]}"].pack("m0")
TWILIO_LOGIN = { "Authorization" => "Basic #{LOGIN}" }
GRAPH = ENV.fetch("GRAPH_URL", "https://graph.facebook.com/v24.0")
GRAPH_TOKEN = { "Authorization" => "Bearer #{ENV["WHATSAPP_TOKEN"]}" }

OPTIONS = { open_timeout: 5, read_timeout: 60, write_timeout: 60, max_retries: 0 } # seconds
ATTEMPTS = 5
PAUSE, LONGEST_PAUSE = 2, 300 # seconds

# A retry doesn't help. `customer` is what to tell the customer, if anything.
class Refused < StandardError
  attr_reader :customer

  def initialize(message, customer = nil)
    super(message)
    @customer = customer
  end
end

# A retry may help after `wait` seconds.
class Unavailable < StandardError
  attr_reader :wait

  def initialize(message, wait = PAUSE)
    super(message)
    @wait = wait
  end
end

def store_from_twilio(media_url)
  # Without this check, a forged webhook could send your Twilio login to any host.
  raise Refused, "#{media_url} isn't Twilio's" unless media_url.start_with?("#{TWILIO}/")

  # A media URL ends with the media's SID. A message with three files has three of them.
  key = URI(media_url).path.split("/").last
  with_retries { open_media(media_url, TWILIO_LOGIN) { |source| store("sms", key, source) } }
end

def store_from_whatsapp(media_id, name = nil)
  with_retries do
    # The URL is valid for five minutes, so each attempt gets a new one.
    about = open_media("#{GRAPH}/#{URI.encode_www_form_component(media_id)}", GRAPH_TOKEN, &:read_body)
    open_media(JSON.parse(about)["url"], GRAPH_TOKEN) { |source| store("whatsapp", media_id, source, name) }
  end
end

# Yields a response whose body isn't read yet. Its length is that of the file: nothing is compressed.
def open_media(url, login, &block)
  exchange(Net::HTTP::Get, url, login.merge("Accept-Encoding" => "identity")) do |response|
    case response
    when Net::HTTPSuccess then return block.call(response)
    when Net::HTTPRedirection
      # Twilio redirects to its storage, which must not get the login.
      return open_media(response["Location"], {}, &block)
    end
    message = "the provider responded #{response.code}: #{response.read_body[0, 300]}"
    # 404: the webhook may come before the media is there.
    passes = [404, 408, 429].include?(response.code.to_i) || response.code.to_i >= 500
    raise passes ? Unavailable.new(message, pause(response)) : Refused.new(message)
  end
end

# Streams a file from the provider to the gateway.
def store(channel, key, source, name = nil)
  query = { channel: channel, name: name, size: source["Content-Length"] }.compact
  headers = KEY.merge(
    "Content-Type" => source["Content-Type"] || "application/octet-stream",
    # The same for each attempt, so that a file is stored once.
    "Idempotency-Key" => key,
    "Transfer-Encoding" => "chunked"
  )
  body = Body.new { |write| pour(source, write) }
  exchange(Net::HTTP::Post, "#{GATEWAY}/v1/assets?#{URI.encode_www_form(query)}", headers, body) do |response|
    check(response)
    JSON.parse(response.read_body)
  end
ensure
  body&.close
end

# A body that is read while it is sent: Net::HTTP pulls the one, and pushes the other.
class Body
  def initialize(&fill)
    @pieces = SizedQueue.new(4)
    @piece = ""
    @filler = Thread.new do
      fill.call(->(piece) { @pieces.push(piece.b) })
      @pieces.push(nil)
    rescue ClosedQueueError
      # The response came before the whole body was sent.
    rescue StandardError => error
      @pieces.push(Unavailable.new("the source broke off: #{error.message}"))
    end
  end

  # Raises where the source broke off, so that half a file never looks like a whole one.
  def readpartial(most, buffer = +"")
    # An empty chunk would end the body.
    @piece = @pieces.pop while @piece.is_a?(String) && @piece.empty?
    raise @piece if @piece.is_a?(Unavailable)
    raise EOFError if @piece.nil?

    buffer.replace(@piece.slice!(0, most))
  end

  def close
    @pieces.close
    @filler.join
  end
end

# Net::HTTP doesn't tell a body that broke off from one that ended, so the bytes are counted.
def pour(source, write)
  length = 0
  source.read_body do |piece|
    length += piece.bytesize
    write.call(piece)
  end
  raise IOError, "#{length} bytes came" if source.content_length && length < source.content_length
end

# Sends the bytes to WhatsApp, then a message that names them.
def send_to_whatsapp(asset, to)
  media = with_retries { upload_to_whatsapp(asset) }
  kind = media["contentType"].split("/").first
  kind = "document" unless %w[image audio video].include?(kind)
  content = { id: media["id"], filename: (media["name"] if kind == "document") }.compact
  body = { messaging_product: "whatsapp", to: to, type: kind, kind => content }
  # Not repeated: a message whose response was lost may have been sent.
  headers = GRAPH_TOKEN.merge("Content-Type" => "application/json")
  post("WhatsApp", "#{GRAPH}/#{ENV["WHATSAPP_PHONE_ID"]}/messages", headers, JSON.generate(body))
end

def upload_to_whatsapp(asset)
  about = exchange(Net::HTTP::Get, "#{GATEWAY}/v1/assets/#{asset}", KEY) do |response|
    check(response)
    JSON.parse(response.read_body)
  end
  headers = KEY.merge("Accept-Encoding" => "identity")
  exchange(Net::HTTP::Get, "#{GATEWAY}/v1/assets/#{asset}/content", headers) do |content|
    check(content)
    before, after, content_type = form(about)
    body = Body.new do |write|
      write.call(before)
      pour(content, write)
      write.call(after)
    end
    length = before.bytesize + content.content_length + after.bytesize
    headers = GRAPH_TOKEN.merge("Content-Type" => content_type, "Content-Length" => length.to_s)
    post("WhatsApp", "#{GRAPH}/#{ENV["WHATSAPP_PHONE_ID"]}/media", headers, body).merge(
      "contentType" => about["contentType"], "name" => about["name"]
    )
  ensure
    body&.close
  end
end

# What is before and after the file in a form: `set_form` would read the whole file.
def form(about)
  boundary = SecureRandom.hex
  part = "--#{boundary}\r\nContent-Disposition: form-data; name=\""
  name = about["name"].gsub(/["\r\n]/) { |char| URI.encode_www_form_component(char) }
  before = "#{part}messaging_product\"\r\n\r\nwhatsapp\r\n" \
           "#{part}file\"; filename=\"#{name}\"\r\nContent-Type: #{about["contentType"]}\r\n\r\n"
  [before, "\r\n--#{boundary}--\r\n", "multipart/form-data; boundary=#{boundary}"]
end

# Gives Twilio the signed URL, from which it gets the file.
def send_to_twilio(asset, from, to)
  signed_url = with_retries do
    exchange(Net::HTTP::Get, "#{GATEWAY}/v1/assets/#{asset}/content?redirect=1", KEY) do |response|
      check(response) unless response.is_a?(Net::HTTPRedirection)
      response["Location"]
    end
  end
  message = URI.encode_www_form(From: from, To: to, MediaUrl: signed_url)
  headers = TWILIO_LOGIN.merge("Content-Type" => "application/x-www-form-urlencoded")
  url = "#{TWILIO}/2010-04-01/Accounts/#{ENV["TWILIO_ACCOUNT_SID"]}/Messages.json"
  post("Twilio", url, headers, message)
end

def post(who, url, headers, body)
  exchange(Net::HTTP::Post, url, headers, body) do |response|
    text = response.read_body
    return JSON.parse(text) if response.is_a?(Net::HTTPSuccess)

    message = "#{who} responded #{response.code}: #{text[0, 300]}"
    raise response.code.to_i >= 500 ? Unavailable.new(message) : Refused.new(message)
  end
end

# One request; the body is a string or a Body. Net::HTTP follows no redirects.
def exchange(method, url, headers, body = nil)
  uri = URI(url)
  request = method.new(uri, headers)
  body.is_a?(Body) ? request.body_stream = body : request.body = body
  Net::HTTP.start(uri.host, uri.port, use_ssl: uri.scheme == "https", **OPTIONS) do |http|
    http.request(request) { |response| return yield(response) }
  end
end

# Stores what webhooks wrote down. A file that can't be stored now stays for the next run.
def work(queue)
  Dir[File.join(queue, "*.job")].sort.filter_map do |job|
    provider, media, name = File.read(job, encoding: "UTF-8").split("\n", 3)
    begin
      asset = provider == "twilio" ? store_from_twilio(media) : store_from_whatsapp(media, name)
    rescue Refused => error
      warn "#{job} is refused: #{error.message}"
      puts "tell the customer: #{error.customer}" if error.customer
    rescue Unavailable => error
      warn "#{job} stays: #{error.message}"
      next
    end
    File.delete(job)
    asset && asset["id"]
  end
end

def with_retries
  attempt = 1
  begin
    yield
  rescue Unavailable, SystemCallError, IOError, Timeout::Error, SocketError, OpenSSL::SSL::SSLError => error
    # Without a response, the file may be stored or not: its key makes a retry safe.
    raise Unavailable, "gave up after #{attempt} attempts: #{error.message}" if attempt == ATTEMPTS

    wait = error.is_a?(Unavailable) ? error.wait : PAUSE
    warn "attempt #{attempt}: #{error.message}; the next in #{wait} s"
    sleep wait
    attempt += 1
    retry
  end
end

# Raises what the gateway's problem document says.
def check(response)
  return if response.is_a?(Net::HTTPSuccess)

  text = response.read_body
  problem = begin
    JSON.parse(text)
  rescue JSON::ParserError
    {} # Not the gateway's, but that of a proxy in between.
  end
  unless problem["code"]
    message = "#{response.code}: #{text[0, 300]}"
    passes = response.code == "429" || response.code.to_i >= 500
    raise passes ? Unavailable.new(message, pause(response)) : Refused.new(message)
  end
  message = "#{problem["code"]}: #{problem["detail"]} (request #{problem["requestId"]})"
  raise Unavailable.new(message, pause(response)) if problem["retryable"]

  raise Refused.new(message, for_customer(problem))
end

def for_customer(problem)
  limit = problem.fetch("limit", {})
  case problem["status"]
  when 413
    most = limit["max_size"] && " Please send at most #{limit["max_size"] / 100_000 / 10.0} MB."
    "This file is too large.#{most}"
  when 415
    instead = limit["allowed"] && " Please send one of these: #{limit["allowed"].join(", ")}."
    "This type of file isn't accepted here.#{instead}"
  end
end

def pause(response)
  seconds = response["Retry-After"].to_s
  seconds.match?(/\A\d+\z/) ? [seconds.to_i, LONGEST_PAUSE].min : PAUSE
end

command, *given = ARGV
commands = {
  "twilio-in" => :store_from_twilio,
  "whatsapp-in" => :store_from_whatsapp,
  "whatsapp-out" => :send_to_whatsapp,
  "twilio-out" => :send_to_twilio,
  "work" => :work
}
begin
  puts JSON.generate(send(commands.fetch(command), *given))
rescue Refused, Unavailable => error
  puts "tell the customer: #{error.customer}" if error.is_a?(Refused) && error.customer
  abort "#{command} failed: #{error.message}"
end
