// Webhooks of Twilio and WhatsApp, acknowledged at once: Webhook PORT QUEUE
//
// A webhook only writes down what is to be stored. `Adapter work QUEUE` stores it. Check the
// provider's signature first: see docs/adapters/webhooks.md.
using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Net;
using System.Runtime.Serialization.Json;
using System.Text;
using System.Text.RegularExpressions;
using System.Threading.Tasks;
using System.Xml;
using System.Xml.Linq;

static class Webhook
{
    const int Most = 1024 * 1024; // bytes of a webhook's body
    static readonly string[] Kinds = { "image", "audio", "video", "document", "sticker" };
    static string queue;

    static void Main(string[] given)
    {
        queue = given[1];
        var listener = new HttpListener();
        listener.Prefixes.Add("http://127.0.0.1:" + given[0] + "/");
        listener.Start();
        while (true)
        {
            var context = listener.GetContext();
            Task.Run(() => Acknowledge(context));
        }
    }

    static void Acknowledge(HttpListenerContext context)
    {
        try
        {
            context.Response.StatusCode = WriteAll(context.Request);
        }
        catch (Exception error)
        {
            // The provider sends it again.
            Console.Error.WriteLine(error.Message);
            context.Response.StatusCode = 500;
        }
        context.Response.Close();
    }

    static int WriteAll(HttpListenerRequest request)
    {
        if (request.ContentLength64 > Most)
            return 413;
        string body = new StreamReader(request.InputStream, Encoding.UTF8).ReadToEnd();
        switch (request.Url.AbsolutePath)
        {
            case "/twilio": FromTwilio(body); return 200;
            case "/whatsapp": FromWhatsApp(body); return 200;
            default: return 404;
        }
    }

    static void FromTwilio(string body)
    {
        var form = new Dictionary<string, string>();
        foreach (string field in body.Split('&'))
        {
            string[] pair = field.Split(new[] { '=' }, 2);
            form[Decode(pair[0])] = pair.Length > 1 ? Decode(pair[1]) : "";
        }
        string count;
        form.TryGetValue("NumMedia", out count);
        for (int nth = 0; nth < int.Parse(count ?? "0"); nth++)
        {
            string url = form["MediaUrl" + nth];
            WriteDown(new Uri(url).Segments.Last(), "twilio", url, "");
        }
    }

    static string Decode(string text)
    {
        return Uri.UnescapeDataString(text.Replace('+', ' '));
    }

    static void FromWhatsApp(string body)
    {
        XElement all;
        using (var reader = JsonReaderWriterFactory.CreateJsonReader(
            Encoding.UTF8.GetBytes(body), XmlDictionaryReaderQuotas.Max))
            all = XElement.Load(reader);
        // Lists are elements with an "item" for each member.
        foreach (var message in all.Descendants("messages").Elements("item"))
        {
            string type = (string)message.Element("type");
            if (!Kinds.Contains(type))
                continue;
            var media = message.Element(type);
            string id = (string)media.Element("id");
            WriteDown(id, "whatsapp", id, (string)media.Element("filename") ?? "");
        }
    }

    // Survives a restart. A notification that comes twice writes the same file.
    static void WriteDown(string id, params string[] lines)
    {
        string job = Path.Combine(queue, Regex.Replace(id, "[^A-Za-z0-9_-]", ""));
        string unfinished = job + "." + Guid.NewGuid().ToString("N") + ".new";
        byte[] text = Encoding.UTF8.GetBytes(string.Join("\n", lines.Select(line => line.Replace('\n', ' '))));
        using (var file = new FileStream(unfinished, FileMode.CreateNew))
        {
            file.Write(text, 0, text.Length);
            file.Flush(true);
        }
        // With .NET: File.Move(unfinished, job + ".job", true).
        if (File.Exists(job + ".job"))
            File.Delete(unfinished);
        else
            File.Move(unfinished, job + ".job");
    }
}
