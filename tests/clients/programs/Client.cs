// .NET's HttpClient, in Mono: see tests/clients/run.
using System;
using System.Diagnostics;
using System.IO;
using System.Net.Http;

class Client
{
    static void Main(string[] given)
    {
        string how = given[1], url = given[2], name = given[4];
        byte[] bytes = File.ReadAllBytes(given[3]);
        string raw = url + "?channel=sms&name=" + Uri.EscapeDataString(name);
        using (var client = new HttpClient())
        {
            for (int round = 0; round < int.Parse(given[5]); round++)
            {
                HttpContent content = new ByteArrayContent(bytes);
                if (how == "form")
                    content = new MultipartFormDataContent { { new StringContent("sms"), "channel" }, { content, "file", name } };
                var clock = Stopwatch.StartNew();
                string text = client.PostAsync(how == "form" ? url : raw, content).Result.Content.ReadAsStringAsync().Result;
                Console.WriteLine("{0:F1} {1}", clock.Elapsed.TotalMilliseconds, text.Trim());
            }
        }
    }
}
