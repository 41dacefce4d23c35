// Files between a messaging provider and the gateway, in C# 7 or later, for .NET and Mono:
//
//   Adapter twilio-in MEDIA_URL            stores a customer's file
//   Adapter whatsapp-in MEDIA_ID [NAME]    stores a customer's file
//   Adapter whatsapp-out ASSET_ID TO       sends an agent's file, by its bytes
//   Adapter twilio-out ASSET_ID FROM TO    sends an agent's file, by its signed URL
//   Adapter work QUEUE                     stores the files that Webhook wrote down
using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Net;
using System.Net.Http;
using System.Net.Http.Headers;
using System.Runtime.Serialization.Json;
using System.Text;
using System.Threading.Tasks;
using System.Xml;
using System.Xml.Linq;

// A retry doesn't help. `Customer` is what to tell the customer, if anything.
class Refused : Exception
{
    public readonly string Customer;
    public Refused(string message, string customer = null) : base(message) { Customer = customer; }
}

// A retry may help after `Wait` seconds.
class Unavailable : Exception
{
    public readonly int Wait;
    public Unavailable(string message, int wait = Adapter.Pause) : base(message) { Wait = wait; }
}

static class Adapter
{
    static readonly string Gateway = Setting("GATEWAY_URL", "");
    static readonly string Key = Setting("GATEWAY_KEY", "");
    static readonly string Twilio = Setting("TWILIO_URL", "https://api.twilio.com");
    static readonly string Account = Setting("TWILIO_ACCOUNT_SID", "");
    static readonly AuthenticationHeaderValue TwilioLogin = new AuthenticationHeaderValue(
        "Basic", Convert.ToBase64String(Encoding.UTF8.GetBytes(Account + ":" + Setting("TWILIO_AUTH_TOKEN", ""))));
    static readonly string Graph = Setting("GRAPH_URL", "https://graph.facebook.com/v24.0");
    static readonly AuthenticationHeaderValue GraphToken =
        new AuthenticationHeaderValue("Bearer", Setting("WHATSAPP_TOKEN", ""));
    static readonly string Phone = Setting("WHATSAPP_PHONE_ID", "");

    const int Attempts = 5;
    public const int Pause = 2;
    const int LongestPause = 300; // seconds

    // Redirects are followed by hand, so that no login goes along.
    static readonly HttpClient Client = new HttpClient(new HttpClientHandler { AllowAutoRedirect = false })
    {
        // For a whole transfer, so it has to suffice for the largest file.
        Timeout = TimeSpan.FromMinutes(10),
    };

    static Task<XElement> StoreFromTwilio(string mediaUrl)
    {
        // Without this check, a forged webhook could send your Twilio login to any host.
        if (!mediaUrl.StartsWith(Twilio + "/", StringComparison.Ordinal))
            throw new Refused(mediaUrl + " isn't Twilio's");
        // A media URL ends with the media's SID. A message with three files has three of them.
        string key = new Uri(mediaUrl).Segments.Last();
        return WithRetries(async () =>
        {
            using (var source = await OpenMedia(mediaUrl, TwilioLogin))
                return await Store("sms", key, source, null);
        });
    }

    static Task<XElement> StoreFromWhatsApp(string mediaId, string name)
    {
        return WithRetries(async () =>
        {
            // The URL is valid for five minutes, so each attempt gets a new one.
            string url;
            using (var about = await OpenMedia(Graph + "/" + Uri.EscapeDataString(mediaId), GraphToken))
                url = Text(Json(await about.Content.ReadAsStringAsync()), "url");
            using (var source = await OpenMedia(url, GraphToken))
                return await Store("whatsapp", mediaId, source, name);
        });
    }

    // A response whose body isn't read yet. Its length is that of the file: nothing is compressed.
    static async Task<HttpResponseMessage> OpenMedia(string url, AuthenticationHeaderValue login)
    {
        var request = new HttpRequestMessage(HttpMethod.Get, url);
        request.Headers.Authorization = login;
        request.Headers.TryAddWithoutValidation("Accept-Encoding", "identity");
        var response = await Client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead);
        int status = (int)response.StatusCode;
        if (status == 200)
            return response;
        using (response)
        {
            // Twilio redirects to its storage, which must not get the login.
            if (status >= 300 && status < 400)
                return await OpenMedia(response.Headers.Location.AbsoluteUri, null);
            string message = "the provider responded " + status + ": " + await Start(response);
            // 404: the webhook may come before the media is there.
            if (status == 404 || status == 408 || status == 429 || status >= 500)
                throw new Unavailable(message, RetryAfter(response));
            throw new Refused(message);
        }
    }

    // Streams a file from the provider to the gateway.
    static async Task<XElement> Store(string channel, string key, HttpResponseMessage source, string name)
    {
        string url = Gateway + "/v1/assets?channel=" + channel;
        if (!string.IsNullOrEmpty(name))
            url += "&name=" + Uri.EscapeDataString(name);
        long? size = source.Content.Headers.ContentLength;
        if (size != null)
            url += "&size=" + size;
        var request = ToGateway(HttpMethod.Post, url);
        request.Content = new StreamContent(await source.Content.ReadAsStreamAsync());
        request.Content.Headers.ContentType = source.Content.Headers.ContentType;
        // Otherwise this client may read the whole file to find its length.
        request.Headers.TransferEncodingChunked = true;
        // The same for each attempt, so that a file is stored once.
        request.Headers.Add("Idempotency-Key", key);
        using (var response = await Client.SendAsync(request))
        {
            await Check(response);
            return Json(await response.Content.ReadAsStringAsync());
        }
    }

    // Sends the bytes to WhatsApp, then a message that names them.
    static async Task<XElement> SendToWhatsApp(string asset, string to)
    {
        string id = null, name = null, contentType = null;
        await WithRetries(async () =>
        {
            using (var response = await Client.SendAsync(ToGateway(HttpMethod.Get, Gateway + "/v1/assets/" + asset)))
            {
                await Check(response);
                var about = Json(await response.Content.ReadAsStringAsync());
                name = Text(about, "name");
                contentType = Text(about, "contentType");
            }
            id = await UploadToWhatsApp(asset, name, contentType);
            return id;
        });
        string type = contentType.Split('/')[0];
        string content = "{\"id\": " + Quote(id) + "}";
        if (type != "image" && type != "audio" && type != "video")
        {
            type = "document";
            content = "{\"id\": " + Quote(id) + ", \"filename\": " + Quote(name) + "}";
        }
        string message = "{\"messaging_product\": \"whatsapp\", \"to\": " + Quote(to)
            + ", \"type\": \"" + type + "\", \"" + type + "\": " + content + "}";
        // Not repeated: a message whose response was lost may have been sent.
        var body = new StringContent(message, Encoding.UTF8, "application/json");
        return await Post("WhatsApp", Graph + "/" + Phone + "/messages", GraphToken, body);
    }

    static async Task<string> UploadToWhatsApp(string asset, string name, string contentType)
    {
        var get = ToGateway(HttpMethod.Get, Gateway + "/v1/assets/" + asset + "/content");
        using (var content = await Client.SendAsync(get, HttpCompletionOption.ResponseHeadersRead))
        {
            await Check(content);
            var body = new FileForm(name, contentType, await content.Content.ReadAsStreamAsync(),
                content.Content.Headers.ContentLength.Value);
            return Text(await Post("WhatsApp", Graph + "/" + Phone + "/media", GraphToken, body), "id");
        }
    }

    // A form around a stream, with a known length. The file is its last part.
    class FileForm : HttpContent
    {
        readonly byte[] before, after;
        readonly Stream file;
        readonly long length;

        public FileForm(string name, string contentType, Stream file, long length)
        {
            string boundary = Guid.NewGuid().ToString("N");
            string part = "--" + boundary + "\r\nContent-Disposition: form-data; name=\"";
            string safe = name.Replace("\"", "%22").Replace("\r", "%0D").Replace("\n", "%0A");
            before = Encoding.UTF8.GetBytes(part + "messaging_product\"\r\n\r\nwhatsapp\r\n"
                + part + "file\"; filename=\"" + safe + "\"\r\nContent-Type: " + contentType + "\r\n\r\n");
            after = Encoding.UTF8.GetBytes("\r\n--" + boundary + "--\r\n");
            this.file = file;
            this.length = before.Length + length + after.Length;
            Headers.TryAddWithoutValidation("Content-Type", "multipart/form-data; boundary=" + boundary);
        }

        protected override async Task SerializeToStreamAsync(Stream target, TransportContext context)
        {
            await target.WriteAsync(before, 0, before.Length);
            await file.CopyToAsync(target);
            await target.WriteAsync(after, 0, after.Length);
        }

        protected override bool TryComputeLength(out long value)
        {
            value = length;
            return true;
        }
    }

    // Gives Twilio the signed URL, from which it gets the file.
    static async Task<XElement> SendToTwilio(string asset, string from, string to)
    {
        string signedUrl = await WithRetries(async () =>
        {
            string url = Gateway + "/v1/assets/" + asset + "/content?redirect=1";
            using (var response = await Client.SendAsync(ToGateway(HttpMethod.Get, url)))
            {
                if ((int)response.StatusCode != 307)
                    await Check(response);
                return response.Headers.Location.AbsoluteUri;
            }
        });
        var message = new FormUrlEncodedContent(new Dictionary<string, string>
        {
            { "From", from }, { "To", to }, { "MediaUrl", signedUrl },
        });
        return await Post("Twilio", Twilio + "/2010-04-01/Accounts/" + Account + "/Messages.json", TwilioLogin, message);
    }

    static async Task<XElement> Post(string who, string url, AuthenticationHeaderValue login, HttpContent content)
    {
        var request = new HttpRequestMessage(HttpMethod.Post, url) { Content = content };
        request.Headers.Authorization = login;
        using (var response = await Client.SendAsync(request))
        {
            if (response.IsSuccessStatusCode)
                return Json(await response.Content.ReadAsStringAsync());
            string message = who + " responded " + (int)response.StatusCode + ": " + await Start(response);
            if ((int)response.StatusCode >= 500)
                throw new Unavailable(message);
            throw new Refused(message);
        }
    }

    // Stores what webhooks wrote down. A file that can't be stored now stays for the next run.
    static async Task<List<string>> Work(string queue)
    {
        var done = new List<string>();
        foreach (string job in Directory.GetFiles(queue, "*.job").OrderBy(file => file, StringComparer.Ordinal))
        {
            string[] lines = File.ReadAllText(job).Split(new[] { '\n' }, 3);
            try
            {
                done.Add(Text(await (lines[0] == "twilio"
                    ? StoreFromTwilio(lines[1])
                    : StoreFromWhatsApp(lines[1], lines[2])), "id"));
            }
            catch (Unavailable error)
            {
                Console.Error.WriteLine(job + " stays: " + error.Message);
                continue;
            }
            catch (Refused error)
            {
                Console.Error.WriteLine(job + " is refused: " + error.Message);
                TellCustomer(error);
            }
            File.Delete(job);
        }
        return done;
    }

    static async Task<T> WithRetries<T>(Func<Task<T>> action)
    {
        for (int attempt = 1; ; attempt++)
        {
            string message;
            int wait = Pause;
            try
            {
                return await action();
            }
            catch (Unavailable error)
            {
                message = error.Message;
                wait = error.Wait;
            }
            // Without a response, the file may be stored or not: its key makes a retry safe.
            catch (Exception error) when (
                error is HttpRequestException || error is IOException || error is TaskCanceledException)
            {
                message = error.GetBaseException().Message;
            }
            if (attempt == Attempts)
                throw new Unavailable("gave up after " + attempt + " attempts: " + message);
            Console.Error.WriteLine("attempt " + attempt + ": " + message + "; the next in " + wait + " s");
            await Task.Delay(TimeSpan.FromSeconds(wait));
        }
    }

    // Throws what the gateway's problem document says.
    static async Task Check(HttpResponseMessage response)
    {
        if (response.IsSuccessStatusCode)
            return;
        int status = (int)response.StatusCode;
        string text = await response.Content.ReadAsStringAsync();
        XElement problem = null;
        try
        {
            problem = Json(text);
        }
        catch (XmlException)
        {
            // Not the gateway's, but that of a proxy in between.
        }
        if (problem == null || problem.Element("code") == null)
        {
            string short_ = status + ": " + text.Substring(0, Math.Min(text.Length, 300));
            if (status == 429 || status >= 500)
                throw new Unavailable(short_, RetryAfter(response));
            throw new Refused(short_);
        }
        string message = Text(problem, "code") + ": " + Text(problem, "detail")
            + " (request " + Text(problem, "requestId") + ")";
        if (Text(problem, "retryable") == "true")
            throw new Unavailable(message, RetryAfter(response));
        throw new Refused(message, ForCustomer(problem));
    }

    static string ForCustomer(XElement problem)
    {
        var limit = problem.Element("limit") ?? new XElement("limit");
        switch (Text(problem, "status"))
        {
            case "413":
                string most = "";
                if (limit.Element("max_size") != null)
                {
                    long tenths = long.Parse(Text(limit, "max_size")) / 100000;
                    most = " Please send at most " + tenths / 10 + "." + tenths % 10 + " MB.";
                }
                return "This file is too large." + most;
            case "415":
                string instead = "";
                if (limit.Element("allowed") != null)
                    instead = " Please send one of these: "
                        + string.Join(", ", limit.Element("allowed").Elements().Select(item => item.Value)) + ".";
                return "This type of file isn't accepted here." + instead;
            default:
                return null;
        }
    }

    static int RetryAfter(HttpResponseMessage response)
    {
        var delta = response.Headers.RetryAfter == null ? null : response.Headers.RetryAfter.Delta;
        return delta == null ? Pause : (int)Math.Min(delta.Value.TotalSeconds, LongestPause);
    }

    static HttpRequestMessage ToGateway(HttpMethod method, string url)
    {
        var request = new HttpRequestMessage(method, url);
        if (Key != "")
            request.Headers.Authorization = new AuthenticationHeaderValue("Bearer", Key);
        return request;
    }

    // System.Text.Json reads it, too, but Mono doesn't have that.
    internal static XElement Json(string text)
    {
        using (var reader = JsonReaderWriterFactory.CreateJsonReader(
            Encoding.UTF8.GetBytes(text), XmlDictionaryReaderQuotas.Max))
            return XElement.Load(reader);
    }

    internal static string Text(XElement parent, string name)
    {
        return (string)parent.Element(name) ?? "";
    }

    static string Quote(string text)
    {
        var quoted = new StringBuilder("\"");
        foreach (char c in text)
            quoted.Append(c == '"' || c == '\\' ? "\\" + c : c < ' ' ? "\\u" + ((int)c).ToString("x4") : c.ToString());
        return quoted.Append('"').ToString();
    }

    static async Task<string> Start(HttpResponseMessage response)
    {
        string text = await response.Content.ReadAsStringAsync();
        return text.Substring(0, Math.Min(text.Length, 300));
    }

    static string Setting(string name, string preset)
    {
        return Environment.GetEnvironmentVariable(name) ?? preset;
    }

    static void TellCustomer(Refused error)
    {
        if (error.Customer != null)
            Console.WriteLine("tell the customer: " + error.Customer);
    }

    static async Task<string> Run(string[] given)
    {
        switch (given[0])
        {
            case "twilio-in": return Shown(await StoreFromTwilio(given[1]));
            case "whatsapp-in": return Shown(await StoreFromWhatsApp(given[1], given.Length > 2 ? given[2] : null));
            case "whatsapp-out": return Shown(await SendToWhatsApp(given[1], given[2]));
            case "twilio-out": return Shown(await SendToTwilio(given[1], given[2], given[3]));
            case "work": return "[" + string.Join(", ", (await Work(given[1])).Select(Quote)) + "]";
            default: throw new Refused("no such command");
        }
    }

    // As JSON again.
    static string Shown(XElement document)
    {
        using (var bytes = new MemoryStream())
        {
            using (var writer = JsonReaderWriterFactory.CreateJsonWriter(bytes, Encoding.UTF8, false))
                document.Save(writer);
            return Encoding.UTF8.GetString(bytes.ToArray());
        }
    }

    static int Main(string[] given)
    {
        try
        {
            Console.OutputEncoding = new UTF8Encoding(false);
            Console.WriteLine(Run(given).GetAwaiter().GetResult());
            return 0;
        }
        catch (Refused error)
        {
            TellCustomer(error);
            Console.Error.WriteLine(given[0] + " failed: " + error.Message);
            return 1;
        }
        catch (Unavailable error)
        {
            Console.Error.WriteLine(given[0] + " failed: " + error.Message);
            return 1;
        }
    }
}
