import { hostname } from 'node:os';
import { DRIVER } from '../../contract/volumes.ts';
import { call, defineService, type OnOutcome, type Service } from '../grpc/services.ts';
import { EMPTY, readEmpty, writeEmpty } from '../grpc/wire.ts';
import {
  type PublishRequest,
  readPublishRequest,
  readUnpublishRequest,
  type UnpublishRequest,
  writeNodeInfo,
  writePluginInfo,
  writeProbe,
} from './messages.ts';

/** The node's id, where nobody has told its name. No controller ever attaches anything by it. */
const NODE_NAME = 'NODE_NAME';

/** CSI's Identity service: which driver this is. */
export const identityService = (version: string, onOutcome: OnOutcome): Service =>
  defineService(
    'csi.v1.Identity',
    {
      GetPluginInfo: call({ read: readEmpty, write: writePluginInfo, answer: () => ({ name: DRIVER, version }) }),
      GetPluginCapabilities: call({ read: readEmpty, write: writeEmpty, answer: () => EMPTY }),
      Probe: call({ read: readEmpty, write: writeProbe, answer: () => true }),
    },
    onOutcome,
  );

/** What a kubelet asks of a volume. @throws CallRefused, or Error of the system */
export interface VolumeCalls {
  publish(request: PublishRequest): void;
  unpublish(request: UnpublishRequest): void;
}

/** CSI's Node service: ephemeral volumes need no more than to be published and unpublished. */
export const nodeService = ({ publish, unpublish }: VolumeCalls, onOutcome: OnOutcome): Service =>
  defineService(
    'csi.v1.Node',
    {
      NodeGetInfo: call({
        read: readEmpty,
        write: writeNodeInfo,
        answer: () => ({ nodeId: process.env[NODE_NAME] || hostname() }),
      }),
      NodeGetCapabilities: call({ read: readEmpty, write: writeEmpty, answer: () => EMPTY }),
      NodePublishVolume: call({ read: readPublishRequest, write: writeEmpty, answer: answerEmpty(publish) }),
      NodeUnpublishVolume: call({ read: readUnpublishRequest, write: writeEmpty, answer: answerEmpty(unpublish) }),
    },
    onOutcome,
  );

const answerEmpty =
  <R>(act: (request: R) => void) =>
  (request: R): object => {
    act(request);
    return EMPTY;
  };
