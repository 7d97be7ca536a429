"""Prints template.yaml as SAM hands it to CloudFormation: only there are references that go in circles
seen, such as a function's alias that waits for an alarm that names the API made of that alias. Fails where
SAM made something else of the API's CORS than the template says."""

import json
import os

from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse


class NoManagedPolicies:
    """The template names none."""

    def load(self):
        return {}


os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")
with open("template.yaml", encoding="utf-8") as file:
    template = yaml_parse(file.read())
for resource in template["Resources"].values():
    if resource["Type"] == "AWS::Serverless::Function":
        resource["Properties"]["CodeUri"] = "s3://bucket/package"
parameters = {"JwtIssuer": "https://login.example.com"}
transformed = transform(template, parameters, NoManagedPolicies())
cors = transformed["Resources"]["Api"]["Properties"]["Body"]["x-amazon-apigateway-cors"]
meant = ["allowHeaders", "allowMethods", "allowOrigins", "exposeHeaders", "maxAge"]
if sorted(cors) != meant or not isinstance(cors["allowOrigins"], list):
    raise SystemExit(f"SAM makes this of the API's CorsConfiguration: {cors}")
print(json.dumps(transformed))
